# Builds QEMU with the nitro-enclave machine and little else. No Debian package has it.
#
#   qemu.sh PACKAGES SCRATCH PREFIX
#
# PACKAGES is what `packages.sh` fetched. Leaves PREFIX/qemu-system-x86_64 and PREFIX/firmware.
set -euo pipefail
packages=$1
scratch=$2
prefix=$3

mkdir -p "$scratch" "$prefix/firmware"
cd "$scratch"
tar --extract --file "$packages"/qemu_*.orig.tar.xz
tar --extract --file "$packages"/qemu_*.debian.tar.xz
cd qemu-*/
# The orig tarball lacks the firmware blobs that Debian builds from source, and the one Python
# package that its own tests want.
for patch in skip-unpack-edk2-blobs disable-pycotap; do
    patch --quiet --strip=1 --input="../debian/patches/$patch.patch"
done

# Debian 12's meson is too old for this QEMU.
python3 -m venv "$scratch/python"
"$scratch/python/bin/pip" install --quiet meson==1.8.2 pycotap==1.3.1 setuptools wheel

cat >configs/devices/x86_64-softmmu/nitro.mak <<END
CONFIG_NITRO_ENCLAVE=y
CONFIG_VIRTIO_MMIO=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_SERIAL=y
CONFIG_VHOST_USER_VSOCK=y
END
mkdir -p build
cd build
../configure --python="$scratch/python/bin/python3" --target-list=x86_64-softmmu \
    --without-default-features --without-default-devices --with-devices-x86_64=nitro \
    --enable-kvm --enable-tcg --enable-gnutls --enable-libcbor --enable-vhost-user \
    --enable-fdt=system --disable-docs --disable-tools --disable-guest-agent \
    --disable-install-blobs --disable-werror >configure.log ||
    { tail --lines=40 configure.log >&2 && exit 1; }
ninja qemu-system-x86_64 | tee ninja.log |
    awk 'NR % 200 == 0 { print "QEMU: " $1; fflush() }' ||
    { tail --lines=40 ninja.log >&2 && exit 1; }
./qemu-system-x86_64 -M help | grep --quiet '^nitro-enclave'

strip -o "$prefix/qemu-system-x86_64" qemu-system-x86_64
for package in seabios qemu-system-data; do
    dpkg-deb --extract "$packages/$package"_*.deb "$scratch/$package"
done
cp "$scratch/seabios/usr/share/seabios/bios-microvm.bin" \
    "$scratch/qemu-system-data/usr/share/qemu/linuxboot_dma.bin" \
    "$scratch/qemu-system-data/usr/share/qemu/pvh.bin" "$prefix/firmware"
