//! Finds, checks and opens plugins; deadlines and quarantine; the only dlopen.
