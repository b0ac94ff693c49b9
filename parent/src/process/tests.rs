use super::*;

#[test]
fn users_that_cannot_be_become_are_named() {
    let process = |user: &str| Process {
        user: Some(user.to_owned()),
        as_root: AsRoot::Permitted,
    };
    for (user, words) in [
        ("root", "root is root"),
        ("no-such-user", "no user no-such-user"),
    ] {
        let message = become_user(&process(user)).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    assert!(become_user(&process("a\0b")).is_err());
}
