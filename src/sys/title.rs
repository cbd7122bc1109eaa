//! The process's title: what `ps` and `top` show.
//!
//! The kernel shows the memory where argv stood at the start, and beyond it the environment's, as
//! long as the last byte of argv's own memory is not 0. So a title may be longer than argv was once
//! the environment has moved.

use std::sync::{Mutex, PoisonError};

/// The memory of argv, and of the environment behind it if that has moved.
#[derive(Clone, Copy)]
struct Place {
    start: usize,
    /// One byte beyond argv.
    argv_end: usize,
    end: usize,
}

static PLACE: Mutex<Option<Place>> = Mutex::new(None);

/// How all titles of this server look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Form {
    /// uWSGI: `auto-procname`; without it only what was named has a title.
    pub auto: bool,
    pub name: Option<String>,
    pub master: Option<String>,
    pub prefix: String,
    pub append: String,
}

static FORM: Mutex<Option<Form>> = Mutex::new(None);

/// Makes room for titles of any length, and says how they look. While the process has one thread.
pub fn prepare(form: Form) {
    let is_new = form != Form::default();
    *FORM.lock().unwrap_or_else(PoisonError::into_inner) = is_new.then_some(form);
    let mut place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_new || place.is_some_and(|place| place.end > place.argv_end) {
        return;
    }
    // What is set anew lies in memory of its own.
    for (name, value) in std::env::vars_os() {
        // SAFETY: the caller's process has one thread.
        unsafe { std::env::set_var(name, value) };
    }
    *place = find(true);
}

/// Takes the title of a role (`master`, `worker 1`), if titles are wanted.
pub fn become_role(role: &str) {
    let form = FORM.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let Some(form) = form else { return };
    let is_master = role == "master";
    let named = form.master.as_ref().filter(|_| is_master).or(form.name.as_ref());
    let name = match named {
        Some(name) => name.clone(),
        None => format!("uWSGI {role}"),
    };
    set(&format!("{}{name}{}", form.prefix, form.append));
}

/// Shows `text` in place of the command line, cut where its memory ends, and its first 15 bytes as
/// the thread's name.
pub fn set(text: &str) {
    let mut place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
    if place.is_none() {
        *place = find(false);
    }
    let Some(Place { start, end, .. }) = *place else { return };
    let text: Vec<u8> = text.bytes().filter(|&byte| byte != 0).collect();
    let len = text.len().min(end - start - 1);
    let short = &text[..text.len().min(15)];
    if let Ok(short) = std::ffi::CString::new(short) {
        let _ = rustix::thread::set_name(&short);
    }
    // SAFETY: `start..end` is the memory that the kernel gave argv and the environment, writable as
    // long as the process lives; nobody else reads it: argv was copied by `main`, and the
    // environment has moved if its part is in the range.
    unsafe {
        let memory = std::slice::from_raw_parts_mut(start as *mut u8, end - start);
        memory.fill(0);
        memory[..len].copy_from_slice(&text[..len]);
    }
}

/// Where the kernel put argv and the environment.
fn find(with_environment: bool) -> Option<Place> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<usize> = rest.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
    // proc_pid_stat(5): arg_start is field 48, and `rest` begins with field 3.
    let [start, argv_end, env_start, env_end] = *fields.get(45..49)? else { return None };
    if start == 0 || argv_end <= start {
        return None;
    }
    let end = if with_environment && env_start == argv_end { env_end } else { argv_end };
    Some(Place { start, argv_end, end })
}
