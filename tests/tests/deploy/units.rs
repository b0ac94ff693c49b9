//! systemd's units, users and folders.
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use dauth_tests::binary;

use super::{all, at, files, help, options_of, text, tool};

/// `Key=value` lines of a unit, in order.
fn settings(unit: &str) -> Vec<(&str, &str)> {
    unit.lines()
        .filter(|line| !line.starts_with(['#', '[']))
        .filter_map(|line| line.split_once('='))
        .collect()
}

fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let of_key = settings(unit)
        .into_iter()
        .filter(|(other, _)| *other == key);
    of_key.map(|(_, value)| value).collect()
}

/// A unit, and the program that it starts.
fn units() -> Vec<(String, String, String)> {
    files("deploy/systemd", "service")
        .into_iter()
        .map(|file| {
            let unit = fs::read_to_string(&file).unwrap();
            let name = file.file_name().unwrap().to_str().unwrap().to_owned();
            let program = values(&unit, "ExecStart")[0].split(' ').next().unwrap();
            let program = program.rsplit('/').next().unwrap().to_owned();
            (name, unit, program)
        })
        .collect()
}

#[test]
fn what_units_start_has_these_options() {
    for (name, unit, program) in units() {
        let known = options_of(&help(&program, &[]).unwrap());
        let start = values(&unit, "ExecStart")[0];
        let used: Vec<_> = start
            .split(' ')
            .filter(|word| word.starts_with('-'))
            .collect();
        assert!(!used.is_empty(), "{name}");
        for option in used {
            assert!(known.contains(option), "{name}: {program} has no {option}");
        }
    }
}

#[test]
fn services_are_never_root_and_may_not_become_it() {
    for (name, unit, _) in units() {
        let user = values(&unit, "User");
        assert!(
            user.len() == 1 && !["root", "0"].contains(&user[0]),
            "{name}"
        );
        for (key, value) in [
            ("NoNewPrivileges", "yes"),
            ("ProtectSystem", "strict"),
            ("ProtectHome", "yes"),
            ("MemoryDenyWriteExecute", "yes"),
            ("LimitCORE", "0"),
            ("UMask", "0077"),
        ] {
            assert_eq!(values(&unit, key), [value], "{name}: {key}");
        }
        for capability in values(&unit, "CapabilityBoundingSet") {
            assert!(["", "CAP_NET_BIND_SERVICE"].contains(&capability), "{name}");
        }
    }
}

#[test]
fn the_parent_reaches_its_enclaves_and_no_other_device() {
    let unit = text("deploy/systemd/dauth-parent.service");
    assert_eq!(values(&unit, "DevicePolicy"), ["closed"]);
    let devices: BTreeSet<_> = values(&unit, "DeviceAllow").into_iter().collect();
    assert_eq!(devices, ["/dev/nitro_enclaves rw", "/dev/vsock rw"].into());
    assert!(values(&unit, "RestrictAddressFamilies")[0].contains("AF_VSOCK"));
    // Its enclaves outlive it: the parent that comes next adopts them.
    assert_eq!(values(&unit, "KillMode"), ["process"]);
    let files: u64 = values(&unit, "LimitNOFILE")[0].parse().unwrap();
    assert!(files >= 2 * (1024 + 4096));
}

/// A service of `Type=notify` whose program says nothing is killed at each start.
#[tokio::test]
async fn services_say_that_they_are_ready_and_alive() {
    for (name, unit, program) in units() {
        assert_eq!(values(&unit, "Type"), ["notify"], "{name}");
        assert_eq!(values(&unit, "WatchdogSec").len(), 1, "{name}");
        let folder = tempfile::tempdir().unwrap();
        let socket = tokio::net::UnixDatagram::bind(folder.path().join("notify")).unwrap();
        let mut service = tokio::process::Command::new(binary(&program))
            .arg("--config")
            .arg(configuration(&program, folder.path()))
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .env("WATCHDOG_USEC", "600000")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut told = String::new();
        while !(told.contains("READY=1") && told.contains("WATCHDOG=1")) {
            let mut datagram = [0; 1024];
            tokio::select! {
                received = socket.recv(&mut datagram) => {
                    told += &String::from_utf8_lossy(&datagram[..received.unwrap()]);
                }
                ended = service.wait() => panic!("{name}: {ended:?}: {told}"),
            }
        }
        service.kill().await.unwrap();
    }
}

/// A configuration with which a program serves, and everything that it names.
fn configuration(program: &str, folder: &Path) -> PathBuf {
    let path = |name: &str| folder.join(name).display().to_string();
    let text = match program {
        "dauth-parent" => {
            fs::write(path("credential"), "credential").unwrap();
            format!(
                "[ingress]\nlisten = '127.0.0.1:0'\nenclave = {{ unix = '{}' }}\n\
                 [host]\nlisten = {{ unix = '{}' }}\nconfiguration_file = 'none'\n\
                 keyset_file = 'none'\n\
                 [records]\ncontrol_plane = 'http://127.0.0.1:1'\ncredential_file = '{}'\n\
                 [process]\nas_root = 'permitted'\n",
                path("ingress"),
                path("host"),
                path("credential"),
            )
        }
        _ => format!(
            "issuer = 'https://auth.example.com'\nlisten = '127.0.0.1:0'\n\
             listen_tls = '127.0.0.1:0'\nstate_dir = '{}'\n\
             enclave = 'https://enclave.example.com'\nhost_credential_sha256 = '{}'\n",
            path("state"),
            "0".repeat(64),
        ),
    };
    let file = folder.join("config.toml");
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn systemd_finds_nothing_wrong_with_them() {
    let folder = tempfile::tempdir().unwrap();
    for (name, unit, program) in units() {
        // It wants the program to be there.
        let installed = format!("/usr/local/bin/{program}");
        let unit = unit.replace(&installed, binary(&program).to_str().unwrap());
        let file = folder.path().join(&name);
        fs::write(&file, unit).unwrap();
        let file = file.to_str().unwrap();
        let Some(output) = tool("systemd-analyze", &["verify", "--man=no", file]) else {
            return;
        };
        let told = all(&output);
        let about_us: Vec<_> = told.lines().filter(|line| line.contains(&name)).collect();
        assert!(output.status.success() && about_us.is_empty(), "{told}");
        // Of 96, which is what systemd says of a unit with none of it.
        let security = ["security", "--offline=true", "--threshold=25", file];
        let output = tool("systemd-analyze", &security).unwrap();
        assert!(output.status.success(), "{}", all(&output));
    }
}

#[test]
fn users_and_folders_are_those_of_the_units() {
    let users = text("deploy/sysusers.d/dauth.conf");
    let folders = text("deploy/tmpfiles.d/dauth.conf");
    for (name, unit, _) in units() {
        let user = values(&unit, "User")[0];
        assert!(users.contains(&format!("u {user} ")), "{name}: {user}");
        let configuration = values(&unit, "ExecStart")[0].rsplit(' ').next().unwrap();
        let line = folders
            .lines()
            .find(|line| line.contains(configuration))
            .unwrap();
        assert!(
            line.contains(" 0640 root ") && line.contains(user),
            "{line}"
        );
        assert!(
            at("deploy/etc")
                .join(configuration.rsplit('/').next().unwrap())
                .exists()
        );
    }
    for line in folders.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split(' ').collect();
        assert_eq!(fields.len(), 6, "{line}");
        assert_eq!(
            fields[3], "root",
            "services must not change what they are told: {line}"
        );
        assert!(!fields[2].ends_with(['2', '3', '6', '7']), "{line}");
    }
}
