//! Content store, manifests, unpacking layers, load and import.
