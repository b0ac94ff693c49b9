# Unpacks the guest's kernel and the modules that Debian's kernel needs for what Amazon's has built
# in: the NSM driver and vsock over virtio-mmio.
#
#   kernel.sh PACKAGES SCRATCH PREFIX
#
# Leaves PREFIX/vmlinuz and PREFIX/modules/NN-NAME.ko, in the order in which they are loaded.
set -euo pipefail
packages=$1
scratch=$2
prefix=$3

mkdir -p "$scratch" "$prefix/modules"
dpkg-deb --extract "$packages"/linux-image-*.deb "$scratch"
cp "$scratch"/boot/vmlinuz-* "$prefix/vmlinuz"
number=10
for name in virtio_mmio nsm vsock vmw_vsock_virtio_transport_common vmw_vsock_virtio_transport; do
    file=$(find "$scratch" -name "$name.ko.xz")
    xz --decompress --stdout "$file" >"$prefix/modules/$number-$name.ko"
    number=$((number + 10))
done
