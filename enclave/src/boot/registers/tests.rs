use std::sync::Mutex;

use sha2::{Digest, Sha384};

use super::*;
use crate::platform::{Claims, PcrState};

/// A module's registers, and how it keeps them.
struct Module {
    registers: Mutex<[PcrState; 32]>,
    keeps: Keeps,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Faithfully,
    /// Says that all is locked, and locks all but this one.
    AllButOneLocked(u16),
    /// Extends the register with something else.
    OtherData,
}

impl Module {
    /// As the hypervisor leaves it, then changed.
    fn changed(change: impl FnOnce(&mut [PcrState; 32])) -> Self {
        let mut index = 0;
        let mut registers = [(); 32].map(|()| {
            index += 1;
            PcrState {
                value: match index {
                    1..=5 => Pcr::from([index; 48]),
                    _ => Pcr::ZERO,
                },
                locked: index <= 16,
            }
        });
        change(&mut registers);
        Self {
            registers: Mutex::new(registers),
            keeps: Keeps::Faithfully,
        }
    }

    fn keeping(keeps: Keeps) -> Self {
        Self {
            keeps,
            ..Self::changed(|_| {})
        }
    }
}

impl Attester for Module {
    fn attest(&self, _: &Claims) -> Result<Vec<u8>, AttesterError> {
        Err(AttesterError::Refused)
    }

    fn random(&self, _: &mut [u8]) -> Result<(), AttesterError> {
        Err(AttesterError::Refused)
    }

    fn describe_pcr(&self, index: u16) -> Result<PcrState, AttesterError> {
        let registers = self.registers.lock().unwrap();
        let register = registers.get(usize::from(index));
        register.copied().ok_or(AttesterError::Refused)
    }

    fn extend_pcr(&self, index: u16, data: &[u8]) -> Result<Pcr, AttesterError> {
        let mut registers = self.registers.lock().unwrap();
        let register = &mut registers[usize::from(index)];
        if register.locked {
            return Err(AttesterError::Locked);
        }
        register.value = match self.keeps {
            Keeps::OtherData => register.value.extend(b"other"),
            _ => register.value.extend(data),
        };
        Ok(Pcr::ZERO.extend(data))
    }

    fn lock_pcrs(&self, end: u16) -> Result<(), AttesterError> {
        let mut registers = self.registers.lock().unwrap();
        for index in 0..end {
            if self.keeps != Keeps::AllButOneLocked(index) {
                registers[usize::from(index)].locked = true;
            }
        }
        Ok(())
    }
}

fn refused(change: impl FnOnce(&mut [PcrState; 32])) -> Option<RegisterError> {
    check_image(&Module::changed(change)).err()
}

#[test]
fn an_image_that_is_measured_is_served() {
    assert_eq!(refused(|_| {}), None);
    // An instance without a role: PCR3 alone is zero.
    assert_eq!(refused(|registers| registers[3].value = Pcr::ZERO), None);
}

/// In debug mode the parent reads the console, and evidence says nothing of the image.
#[test]
fn an_enclave_in_debug_mode_does_not_boot() {
    for index in 0..3 {
        let error = refused(|registers| registers[usize::from(index)].value = Pcr::ZERO);
        assert_eq!(error, Some(RegisterError::DebugMode(index)));
    }
}

#[test]
fn registers_that_anybody_could_extend_are_refused() {
    for index in 0..16 {
        let error = refused(|registers| registers[usize::from(index)].locked = false);
        assert_eq!(error, Some(RegisterError::Unlocked(index)));
    }
}

/// The attack: a program that starts ours has measured a configuration of its own before.
#[test]
fn an_image_in_which_something_measured_before_is_refused() {
    let extended = |registers: &mut [PcrState; 32]| {
        registers[16].value = Pcr::of_configuration(b"another");
    };
    assert_eq!(refused(extended), Some(RegisterError::NotFresh));
    let locked = |registers: &mut [PcrState; 32]| registers[16].locked = true;
    assert_eq!(refused(locked), Some(RegisterError::NotFresh));
}

fn measured(module: &Module) -> Result<(), RegisterError> {
    let configuration = b"configuration";
    let digest = Sha384::digest(configuration);
    measure(module, &digest, &Pcr::of_configuration(configuration))
}

#[test]
fn a_measured_configuration_is_locked_in() {
    let module = Module::changed(|_| {});
    assert_eq!(measured(&module), Ok(()));
    assert!(module.registers.lock().unwrap().iter().all(|r| r.locked));
    // Nothing measures a second time.
    let again = RegisterError::Attester(AttesterError::Locked);
    assert_eq!(measured(&module), Err(again));
    assert_eq!(check_image(&module), Err(RegisterError::NotFresh));
}

#[test]
fn a_module_that_does_not_lock_is_refused() {
    for index in 16..32 {
        let module = Module::keeping(Keeps::AllButOneLocked(index));
        let error = RegisterError::StaysUnlocked(index);
        assert_eq!(measured(&module), Err(error));
    }
}

#[test]
fn a_module_that_measures_something_else_is_refused() {
    let module = Module::keeping(Keeps::OtherData);
    assert_eq!(measured(&module), Err(RegisterError::OtherMeasurement));
}
