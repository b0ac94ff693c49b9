//! End-to-end tests over one Stack of real processes
