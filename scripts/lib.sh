# What the scripts share: packages, root, the Debian mirror. To be sourced.

say() { printf '\n%s\n' "$*"; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

# Runs as root, through sudo when need be.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -E "$@"; fi
}

# Installs Debian packages when the files they are known by are missing: need FILE PACKAGE ...
need() {
    local missing=()
    while [ $# -ge 2 ]; do
        command -v "$1" >/dev/null 2>&1 || missing+=("$2")
        shift 2
    done
    [ ${#missing[@]} -eq 0 ] || install "${missing[@]}"
}

# Installs a Debian package when a file that is no program is missing: need_file FILE PACKAGE
need_file() {
    [ -e "$1" ] || install "$2"
}

install() {
    command -v apt-get >/dev/null || fail "Please install: $*"
    say "Installing $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# Debian's static busybox, with its web server.
need_busybox() {
    local program
    program=$(command -v busybox || true)
    if [ -z "$program" ] || ldd "$program" >/dev/null 2>&1 || ! busybox --list | grep -qx httpd; then
        need busybox-static busybox-static
    fi
}

# A syslog server that tests run by hand, its part for TLS, and openssl for certificates. Its service is not started.
need_rsyslog() {
    local tls
    tls=/usr/lib/$(uname -m)-linux-gnu/rsyslog/lmnsd_gtls.so
    RUNLEVEL=1 need rsyslogd rsyslog openssl openssl
    RUNLEVEL=1 need_file "$tls" rsyslog-gnutls
}

# Docker's command without its daemon: the one program out of Debian's package.
need_docker_command() {
    command -v docker >/dev/null && return
    local dir
    dir=$(mktemp -d)
    chmod 755 "$dir"
    say "Fetching the docker command"
    (cd "$dir" && as_root apt-get update -qq &&
        { apt-get download -qq docker-cli 2>/dev/null || apt-get download -qq docker.io; } &&
        dpkg-deb -x docker*.deb . && as_root cp usr/bin/docker /usr/local/bin/docker)
    rm -rf "$dir"
}

# The compiler, its linker and the C library to link with.
need_rust() {
    need cc gcc
    need_file /usr/include/stdio.h libc6-dev
    [ -r "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
    command -v cargo >/dev/null || fail "Please install Rust 1.89 or newer: https://rustup.rs"
}

# Where apt gets its packages; empty when nowhere.
mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m1 '^https\?:' || true
}

# The name of this Debian, such as bookworm.
codename() {
    . /etc/os-release
    printf '%s' "${VERSION_CODENAME:-stable}"
}

# Lets wget and debootstrap go the way apt goes.
use_apt_proxy() {
    local proxy
    proxy=$(apt-config dump --format '%v%n' Acquire::http::Proxy 2>/dev/null | head -1)
    if [ -n "$proxy" ] && [ -z "${http_proxy:-}" ]; then export http_proxy="$proxy"; fi
}

# A tar file from busybox: busybox_tar FILE
busybox_tar() {
    local dir program
    dir=$(mktemp -d)
    program=$(command -v busybox)
    mkdir -p "$dir"/{bin,etc,home,proc,root,sys,dev,tmp,www}
    chmod 755 "$dir"
    chmod 1777 "$dir/tmp"
    cp "$program" "$dir/bin/busybox"
    busybox --list | grep -v '^busybox$' | while read -r applet; do ln -s busybox "$dir/bin/$applet"; done
    echo 'root:x:0:0:root:/root:/bin/sh' >"$dir/etc/passwd"
    echo 'root:x:0:' >"$dir/etc/group"
    echo '<h1>Hello from a container</h1>' >"$dir/www/index.html"
    tar -C "$dir" --owner=0 --group=0 -cf "$1" .
    rm -rf "$dir"
}
