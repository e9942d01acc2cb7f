#!/usr/bin/env bash
#
# Builds mediasoup's worker from the source in the npm package "mediasoup", against Debian's libraries,
# with the patches in ./patches, and proves the result with ./verify.ts.
#
#   build.sh OUT_FILE
#
# Writes OUT_FILE (stripped) and OUT_FILE.info (what it was made of); OUT_FILE appears only when the
# worker has passed every check. To use it: MEDIASOUP_WORKER_BIN=OUT_FILE when running.
#
# mediasoup's own meson.build is used; its subprojects (libuv, OpenSSL, libsrtp, flatbuffers, abseil,
# unordered_dense), which upstream downloads, are replaced by ./shims, which point Meson at Debian's
# static libraries. libsrtp alone is compiled here, from Debian's source package: Debian's binary one is
# built on NSS, not OpenSSL.
#
# What is trusted: Debian's archive signature (apt checks it) and the two checksums below.
#
# Environment:
#   MEDIASOUP_DIR   the unpacked mediasoup package   (default: node_modules/mediasoup near this script)
#   NODE            a Node >= 22.15 for verify.ts    (default: node)
#   JOBS            parallel compilations            (default: number of processors)

set -euo pipefail
export LC_ALL=C

readonly version=3.27.1
# sha256 of the list of sha256 sums of the source files, see source_sum.
readonly source_sha256=ef09eb471678e9aa0274a6c493e7e43e0cd2b525d1a04219af684e27326260e0
# sha256 of libsrtp2_2.5.0.orig.tar.gz, the version of Debian 12. Of other releases apt's signature is
# the only check.
readonly srtp_version=2.5.0
readonly srtp_sha256=8a43ef8e9ae2b665292591af62aa1a4ae41e468b6d98d8258f91478735da4e09

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[[ $# -eq 1 ]] || { echo "usage: build.sh OUT_FILE" >&2; exit 2; }
mkdir -p "$(dirname "$1")"
out=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
jobs=${JOBS:-$(nproc)}
node=${NODE:-node}

say() { printf '[worker %3d s] %s\n' "$SECONDS" "$*" >&2; }
die() { say "$*"; exit 1; }

# ---------------------------------------------------------------- what it needs
mediasoup=${MEDIASOUP_DIR:-}
for candidate in "$here/../../node_modules/mediasoup" "$here/../../../mediasoup"; do
  [[ -n $mediasoup || ! -d $candidate ]] || mediasoup=$candidate
done
[[ -f $mediasoup/worker/meson.build ]] || die "mediasoup's source is not here: set MEDIASOUP_DIR"
mediasoup=$(cd "$mediasoup" && pwd)
grep -q "\"version\": \"$version\"" "$mediasoup/package.json" || die "this script builds mediasoup $version only"

mapfile -t packages < <(grep -v '^#' "$here/debian-packages")
missing=()
for package in "${packages[@]}"; do
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] || die "missing Debian packages: ${missing[*]}"

work=$(mktemp -d "${TMPDIR:-/tmp}/mediasoup-worker.XXXXXX")
trap 'rm -rf "$work"' EXIT
logs=$out.log
: >"$logs"
fail() { tail -n 30 "$logs" >&2; die "$1; the whole log is in $logs"; }

# ---------------------------------------------------------------- source
source_parts=(deps fbs fuzzer include mocks scripts src test meson.build meson_options.txt)
source_sum() { (cd "$1" && find "${source_parts[@]}" -type f -print0 | sort -z | xargs -0 sha256sum) | sha256sum | cut -d' ' -f1; }

mkdir "$work/worker"
(cd "$mediasoup/worker" && cp -a "${source_parts[@]}" "$work/worker/")
[[ $(source_sum "$work/worker") == "$source_sha256" ]] || die "the source in $mediasoup is not that of mediasoup $version"
chmod -R u+w "$work/worker"
cp -a "$here/shims" "$work/worker/subprojects"
for patch in "$here"/patches/*.patch; do
  patch --quiet --strip=1 --fuzz=0 --directory="$work" <"$patch" || die "$(basename "$patch") does not apply"
done

# Through an apt configuration of our own: the system's usually has no deb-src entries, and this way it
# is neither changed nor locked.
fetch_libsrtp() {
  local apt=$work/apt mirror codename keyring
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list 2>/dev/null |
    grep -oE '(^URIs:|^deb) .*' | grep -oE 'https?://[^ ]+' | grep -v security | head -n1 || true)
  [[ -n $mirror ]] || die 'no Debian mirror in /etc/apt/sources.list'
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/src"
  echo "deb-src [signed-by=$keyring] $mirror $codename main" >"$apt/sources.list"
  cat >"$apt/apt.conf" <<CONF
Dir::Etc::SourceList "$apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::Languages "none";
CONF
  # As root, apt would drop to a user who may not write into a private directory.
  [[ $(id -u) -ne 0 ]] || echo 'APT::Sandbox::User "root";' >>"$apt/apt.conf"
  APT_CONFIG=$apt/apt.conf apt-get -qq update >>"$logs" 2>&1 || fail 'apt-get update failed'
  (cd "$apt/src" && APT_CONFIG=$apt/apt.conf apt-get -qq source --download-only libsrtp2 >>"$logs" 2>&1) ||
    fail 'the source package libsrtp2 cannot be had'
  local tarball=$apt/src/libsrtp2_$srtp_version.orig.tar.gz
  if [[ -f $tarball ]]; then
    echo "$srtp_sha256  $tarball" | sha256sum --check --status || die "$(basename "$tarball") has another checksum"
  fi
  # --no-check: apt has just checked the signature of the archive.
  dpkg-source --no-check -x "$apt"/src/libsrtp2_*.dsc "$work/worker/subprojects/libsrtp2" >>"$logs" 2>&1 ||
    fail 'unpacking libsrtp2 failed'
}
say "fetching libsrtp's source (Debian source package libsrtp2)"
fetch_libsrtp

# ---------------------------------------------------------------- compile
say 'configuring'
# /usr/bin: not what a Python environment may have put before it in PATH. --wrap-mode nodownload: Meson
# never goes to the network. The C++ runtime goes into the binary, which then needs libc and libm only.
/usr/bin/meson setup "$work/build" "$work/worker" \
  --buildtype release -Db_ndebug=true --wrap-mode nodownload \
  -Dcpp_link_args='-static-libstdc++ -static-libgcc' >>"$logs" 2>&1 || fail 'meson setup failed'

say "compiling with $jobs jobs (4 to 6 minutes on 2 processors)"
compile() {
  local line last=-10
  NINJA_STATUS='[%f/%t] ' /usr/bin/ninja -C "$work/build" -j"$jobs" mediasoup-worker 2>&1 | while IFS= read -r line; do
    printf '%s\n' "$line" >>"$logs"
    if [[ $line =~ ^\[([0-9]+/[0-9]+)\] && $((SECONDS - last)) -ge 5 ]]; then
      last=$SECONDS
      say "compiled ${BASH_REMATCH[1]}"
    fi
  done
}
compile || fail 'the compilation failed'

# ---------------------------------------------------------------- prove and hand over
install -m 755 -s "$work/build/mediasoup-worker" "$work/mediasoup-worker"
say 'verifying: starts, DTLS handshake, random strings'
# Copied out because Node strips no types from files under node_modules.
cp "$here"/verify.ts "$here"/linear-complexity.ts "$work/"
MEDIASOUP_DIR=$mediasoup "$node" --experimental-strip-types --disable-warning=ExperimentalWarning \
  "$work/verify.ts" "$work/mediasoup-worker" >&2 || die 'the new worker failed its checks and is thrown away'

installed() { dpkg-query -W -f='${Version}' "$1"; }
{
  echo "mediasoup $version worker, patch level $(cat "$here/PATCH_LEVEL")"
  echo "$(. /etc/os-release && echo "$PRETTY_NAME") $(uname -m), $(c++ --version | head -n1)"
  for package in libssl-dev libuv1-dev libabsl-dev libflatbuffers-dev; do echo "$package $(installed "$package")"; done
  echo "libsrtp2 $(basename "$work"/apt/src/libsrtp2_*.dsc .dsc | cut -d_ -f2), from source"
  echo "sha256 $(sha256sum <"$work/mediasoup-worker" | cut -d' ' -f1)"
} >"$out.info"
# Within one file system a rename is atomic: nobody ever sees half a worker.
cp "$work/mediasoup-worker" "$out.new"
mv "$out.new" "$out"
rm -f "$logs"
say "done: $out"
