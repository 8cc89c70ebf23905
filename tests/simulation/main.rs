//! A world in which clients and a server live under virtual time, on disks and a network that fail.

mod observe;
