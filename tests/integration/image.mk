# Pulls from a real registry, and from one that misbehaves.
TESTS += tests/integration/image.sh tests/integration/image-store.sh tests/integration/image-hostile.py tests/integration/image-interop.py tests/integration/image-peer.py tests/integration/image-faults.py tests/integration/image-kill.py
EXTRA_DIST += tests/integration/image.sh tests/integration/image-store.sh tests/integration/image-hostile.py tests/integration/image-interop.py tests/integration/image-peer.py tests/integration/image-faults.py tests/integration/image-kill.py
