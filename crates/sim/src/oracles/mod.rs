//! What must hold in every run, whatever happens. Each oracle has a name, under which it reports.

pub mod linearizable;
