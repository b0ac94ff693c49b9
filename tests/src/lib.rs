//! End-to-end tests over one [`Stack`] of real processes, one file in `tests/` per boundary.
