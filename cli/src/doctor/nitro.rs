//! What `nitro-cli` needs to start an enclave.
use std::{fs, os::unix::fs::FileTypeExt as _};

use super::{
    finding::Finding,
    host::{Access, Host},
    program,
};

const DEVICE: &str = "/dev/nitro_enclaves";
const CLI: &str = "nitro-cli";

pub(super) async fn examine(host: &Host) -> Vec<Finding> {
    vec![device(host), permission(host), cli(host).await, vsock(host)]
}

/// The driver's device is there only where the instance was started with enclaves enabled.
fn device(host: &Host) -> Finding {
    const NAME: &str = "nitro-device";
    match fs::metadata(host.at(DEVICE)) {
        Ok(found) if found.file_type().is_char_device() => {
            Finding::ok(NAME, format!("{DEVICE} is there"))
        }
        Ok(_) => Finding::missing(
            NAME,
            format!("{DEVICE} is no device"),
            "remove it, and load the driver: modprobe nitro_enclaves",
        ),
        Err(_) => Finding::missing(
            NAME,
            format!("there is no {DEVICE}"),
            "stop the instance, enable enclaves and start it again: aws ec2 \
             modify-instance-attribute --instance-id ID --enclave-options Enabled=true\n\
             then load the driver: modprobe nitro_enclaves",
        ),
    }
}

fn permission(host: &Host) -> Finding {
    const NAME: &str = "nitro-permission";
    let user = &host.user;
    match fs::metadata(host.at(DEVICE)) {
        Err(_) => Finding::not_checked(NAME, format!("there is no {DEVICE}")),
        Ok(found) if user.may(Access::ReadAndWrite, &found) => {
            Finding::ok(NAME, format!("{} may use {DEVICE}", user.name))
        }
        Ok(_) => Finding::missing(
            NAME,
            format!("{} may not use {DEVICE}", user.name),
            "put the user into the device's group and log in again: usermod -aG ne USER",
        ),
    }
}

async fn cli(host: &Host) -> Finding {
    const NAME: &str = "nitro-cli";
    let Some(program) = program::find(host, CLI) else {
        return Finding::missing(
            NAME,
            "there is no nitro-cli on the path",
            "Amazon Linux 2023: dnf install -y aws-nitro-enclaves-cli\n\
             elsewhere: build it from github.com/aws/aws-nitro-enclaves-cli",
        );
    };
    match program::version(&program).await {
        Some(version) => Finding::ok(NAME, version),
        None => Finding::missing(
            NAME,
            format!("{} does not say its version", program.display()),
            "install it again: dnf reinstall -y aws-nitro-enclaves-cli",
        ),
    }
}

/// The socket family over which parent and enclave speak.
fn vsock(host: &Host) -> Finding {
    const NAME: &str = "vsock";
    const VSOCK: &str = "/dev/vsock";
    match fs::metadata(host.at(VSOCK)) {
        Ok(found) if found.file_type().is_char_device() => {
            Finding::ok(NAME, format!("{VSOCK} is there"))
        }
        _ => Finding::missing(
            NAME,
            format!("there is no {VSOCK}: the kernel's vsock module is not loaded"),
            "modprobe vsock, and for each boot: echo vsock > /etc/modules-load.d/vsock.conf",
        ),
    }
}

/// The units in `deploy/systemd` need one, and nothing else does.
pub(super) fn service_manager(host: &Host) -> Finding {
    const NAME: &str = "systemd";
    // sd_booted(3).
    if host.has("/run/systemd/system") {
        Finding::ok(NAME, "this host was booted with systemd")
    } else {
        Finding::advice(
            NAME,
            "this host was not booted with systemd",
            "have dauth-parent started again by what there is: the units in deploy/systemd show how",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{finding::State, host::tests::Folder},
        *,
    };

    #[test]
    fn the_device_is_a_character_device() {
        let folder = Folder::new();
        let absent = device(&folder.host);
        assert_eq!(absent.state, State::Missing);
        assert!(absent.remedy.unwrap().contains("--enclave-options"));
        assert_eq!(permission(&folder.host).state, State::NotChecked);
        folder.device(DEVICE);
        assert_eq!(device(&folder.host).state, State::Ok);

        let folder = Folder::new();
        folder.write(DEVICE, "");
        assert_eq!(device(&folder.host).state, State::Missing);
    }

    #[test]
    fn the_user_must_be_allowed_to_use_it() {
        let folder = Folder::new();
        folder.write(DEVICE, "");
        folder.mode(DEVICE, 0o660);
        let refused = permission(&folder.host);
        assert_eq!(refused.state, State::Missing);
        assert!(refused.remedy.unwrap().contains("usermod -aG ne"));
        folder.mode(DEVICE, 0o666);
        assert_eq!(permission(&folder.host).state, State::Ok);
    }

    #[tokio::test]
    async fn nitro_cli_is_there_and_runs() {
        let folder = Folder::new();
        let absent = cli(&folder.host).await;
        assert_eq!(absent.state, State::Missing);
        assert!(absent.remedy.unwrap().contains("dnf install"));

        // Programs that every test machine has: one says a version, one fails.
        let host = &folder.host;
        fs::create_dir_all(&host.search[0]).unwrap();
        let program = host.search[0].join(CLI);
        std::os::unix::fs::symlink("/bin/false", &program).unwrap();
        assert_eq!(cli(host).await.state, State::Missing);
        fs::remove_file(&program).unwrap();
        std::os::unix::fs::symlink("/bin/bash", &program).unwrap();
        let found = cli(host).await;
        assert_eq!(found.state, State::Ok);
        assert!(found.found.contains("version"), "{}", found.found);
    }

    #[test]
    fn vsock_and_systemd() {
        let folder = Folder::new();
        assert_eq!(vsock(&folder.host).state, State::Missing);
        assert_eq!(service_manager(&folder.host).state, State::Advice);
        folder.device("/dev/vsock");
        folder.write("/run/systemd/system/x", "");
        assert_eq!(vsock(&folder.host).state, State::Ok);
        assert_eq!(service_manager(&folder.host).state, State::Ok);
    }
}
