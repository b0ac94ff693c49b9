# Fetches what `qemu.sh` and `kernel.sh` take, with a package cache of its own: nothing is
# installed, and the machine's own package sources stay as they are. apt verifies signatures.
#
#   packages.sh FOLDER
#
# Leaves FOLDER/qemu_*.orig.tar.xz, FOLDER/qemu_*.debian.tar.xz and FOLDER/*.deb.
set -euo pipefail
folder=$1
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

mkdir -p "$folder/lists/partial" "$folder/archives/partial"
cd "$folder"
# QEMU of trixie is the first that builds with this machine and with bookworm's libraries; the
# kernel and the firmware are those of bookworm-backports.
cat >sources.list <<END
deb-src [signed-by=$keyring] http://deb.debian.org/debian trixie main
deb [signed-by=$keyring] http://deb.debian.org/debian bookworm-backports main
END
cat >apt.conf <<END
Dir::Etc::sourcelist "$folder/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$folder/lists";
Dir::Cache "$folder";
Acquire::Languages "none";
Acquire::Retries "3";
# The sandbox user cannot write to a folder of ours.
APT::Sandbox::User "root";
END
export APT_CONFIG=$folder/apt.conf

apt-get --quiet=2 update
apt-get --quiet=2 source --download-only qemu >fetched
kernel=$(apt-cache search --names-only '^linux-image-6\.12\..*-cloud-amd64$' |
    cut --delimiter=' ' --fields=1 | sort --version-sort | tail --lines=1)
if [ -z "$kernel" ]; then
    echo "no linux-image-6.12.*-cloud-amd64 in bookworm-backports" >&2
    exit 1
fi
apt-get --quiet=2 download "$kernel" seabios qemu-system-data
