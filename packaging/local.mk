# packaging/: what installs, starts and shows the product
EXTRA_DIST += packaging/install-deps.sh packaging/lab.sh packaging/quickstart.sh
