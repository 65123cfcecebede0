#!/bin/sh
# Makes ./configure and build-aux/ from configure.ac and Makefile.am.
set -e
cd "$(dirname "$0")"
mkdir -p m4
exec autoreconf --force --install "$@"
