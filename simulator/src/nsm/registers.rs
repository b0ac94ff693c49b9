//! The 32 platform configuration registers.
use aws_nitro_enclaves_nsm_api::api::ErrorCode;
use dauth_protocol::measurement::Pcr;

/// How many registers an NSM has.
pub(super) const MAX_PCRS: u16 = 32;
/// The registers below this one are the hypervisor's, and locked at start.
const FIRST_OF_APPLICATION: u16 = 16;

/// What the hypervisor measures before the enclave starts.
#[derive(Clone, Debug)]
pub struct Measurements {
    /// The image.
    pub pcr0: Pcr,
    /// Kernel and bootstrap.
    pub pcr1: Pcr,
    /// The application.
    pub pcr2: Pcr,
    /// The IAM role of the instance; without one PCR3 is zero.
    pub role_arn: Option<String>,
    /// The EC2 instance.
    pub instance_id: String,
}

#[derive(Clone, Copy)]
pub(super) struct Register {
    pub(super) value: Pcr,
    pub(super) locked: bool,
}

pub(super) struct Registers([Register; MAX_PCRS as usize]);

impl Registers {
    /// As the hypervisor leaves them.
    pub(super) fn measured(measurements: &Measurements) -> Self {
        let role = measurements.role_arn.as_deref();
        let values = [
            measurements.pcr0,
            measurements.pcr1,
            measurements.pcr2,
            role.map_or(Pcr::ZERO, |arn| Pcr::ZERO.extend(arn.as_bytes())),
            Pcr::ZERO.extend(measurements.instance_id.as_bytes()),
        ];
        let mut registers = [Register {
            value: Pcr::ZERO,
            locked: false,
        }; MAX_PCRS as usize];
        for (register, value) in registers.iter_mut().zip(values) {
            register.value = value;
        }
        let mut registers = Self(registers);
        registers.lock_below(FIRST_OF_APPLICATION);
        registers
    }

    pub(super) fn describe(&self, index: u16) -> Result<Register, ErrorCode> {
        let register = self.0.get(usize::from(index));
        register.copied().ok_or(ErrorCode::InvalidIndex)
    }

    pub(super) fn extend(&mut self, index: u16, data: &[u8]) -> Result<Pcr, ErrorCode> {
        let register = self.unlocked(index)?;
        register.value = register.value.extend(data);
        Ok(register.value)
    }

    pub(super) fn lock(&mut self, index: u16) -> Result<(), ErrorCode> {
        self.unlocked(index)?.locked = true;
        Ok(())
    }

    /// Locks `[0, end)`; those that are locked stay so.
    pub(super) fn lock_range(&mut self, end: u16) -> Result<(), ErrorCode> {
        if end > MAX_PCRS {
            return Err(ErrorCode::InvalidIndex);
        }
        self.lock_below(end);
        Ok(())
    }

    /// The locked registers: those that a document has.
    pub(super) fn locked(&self) -> impl Iterator<Item = (u16, &Pcr)> {
        (0..)
            .zip(&self.0)
            .filter(|(_, register)| register.locked)
            .map(|(index, register)| (index, &register.value))
    }

    fn lock_below(&mut self, end: u16) {
        for register in self.0.iter_mut().take(usize::from(end)) {
            register.locked = true;
        }
    }

    fn unlocked(&mut self, index: u16) -> Result<&mut Register, ErrorCode> {
        let register = self.0.get_mut(usize::from(index));
        let register = register.ok_or(ErrorCode::InvalidIndex)?;
        if register.locked {
            return Err(ErrorCode::ReadOnlyIndex);
        }
        Ok(register)
    }
}
