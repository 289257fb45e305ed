//! The skeleton that `seachange app new` writes, compiled as it stands (its placeholders are within texts), with its own
//! tests.

#[path = "../../seachange/templates/application/src/lib.rs"]
mod skeleton;
