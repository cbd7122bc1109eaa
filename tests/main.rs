//! The integration tests: one binary, a module for each capability as users name it.
//!
//! Each test starts or shares a real server (`harness/server.rs`) with an app of `apps/`. Tests
//! that serve run in all four modes: both isolations, both I/O drivers. UWRING_TEST_FULL=1 runs the
//! long forms, UWRING_TEST_WAIVE=nginx,uwsgi does without these tools.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

mod harness;

mod auto_gzip;
mod autoreload;
mod background;
mod cheaper;
mod children;
mod chunked;
mod clients;
mod collector;
mod compatibility;
mod corpus;
mod daemons;
mod deaths;
mod denied;
mod doctor;
mod endurance;
mod environ;
mod fifo;
mod files;
mod frameworks;
mod gathered;
mod harakiri;
mod hooks;
mod house;
mod http;
mod http_options;
mod identity;
mod ini;
mod init;
mod isolation;
mod isolation_auto;
mod keepalive;
mod load;
mod log_targets;
mod log_trouble;
mod logging;
mod master;
mod mounts;
mod moving;
mod nginx;
mod notify;
mod options;
mod own_send;
mod parked;
mod paste;
mod real_apps;
mod recycling;
mod regression;
mod reloads;
mod scheduling;
mod shards;
mod signals;
mod static_answers;
mod static_compatibility;
mod static_files;
mod stats;
mod threads;
mod uwsgi_module;
mod uwsgi_protocol;
mod uwsgi_requests;
mod wait_for;
mod wsgi;
