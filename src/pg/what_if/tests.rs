//! Server tests of the what-if.
