//! Everything a driver author may know: traits, options schema, errors, export macro.
