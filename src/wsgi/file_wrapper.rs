//! `wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling").

use std::ffi::CStr;

use crate::python::{Args, Exception, Function, Kept, Kind, Native, Object, Py, Type};

/// The Rust value behind an instance.
pub struct FileWrapper {
    file: Kept,
    block: Kept,
}

/// The callable that makes them: `wsgi.file_wrapper` itself.
pub struct Maker(pub std::sync::Arc<Type<FileWrapper>>);

/// A real file that can be sent without passing through Python.
#[derive(Debug, Clone, Copy)]
pub struct RealFile {
    pub fd: i32,
    pub offset: u64,
    pub len: u64,
}

impl FileWrapper {
    /// The Python type whose instances hold a `FileWrapper`.
    ///
    /// # Errors
    /// What Python raised.
    pub fn class(py: Py<'_>) -> Result<Type<FileWrapper>, Exception> {
        let methods = vec![Type::method::<Close>()];
        Type::new(py, c"uwring.FileWrapper", methods, Some(Type::next::<NextBlock>()))
    }

    /// The file's descriptor and the bytes from its position on, if it is a regular file.
    pub fn real_file(&self, py: Py<'_>) -> Option<RealFile> {
        let file = self.file.get(py);
        let quiet = |name| file.call_method(name, []).ok().and_then(|value| value.as_int());
        let fd = i32::try_from(quiet("fileno")?).ok()?;
        // uWSGI sends from offset 0 whatever was read; PEP 3333 wants the current position.
        let offset = u64::try_from(quiet("tell")?).ok()?;
        let len = crate::sys::regular_file_len(fd)?.checked_sub(offset)?;
        Some(RealFile { fd, offset, len })
    }
}

impl Maker {
    /// The callable for environ.
    ///
    /// # Errors
    /// What Python raised.
    pub fn callable<'py>(
        py: Py<'py>,
        class: std::sync::Arc<Type<FileWrapper>>,
    ) -> Result<Object<'py>, Exception> {
        let methods = vec![Type::method::<Make>()];
        let kind: Type<Maker> = Type::new(py, c"uwring.FileWrapperMaker", methods, None)?;
        let maker: Native<'_, Maker> = kind.instance(py, Maker(class));
        maker.as_object().attribute(&py.interned("file_wrapper"))
    }
}

struct Make;

impl Function for Make {
    type On = Maker;
    const NAME: &'static CStr = c"file_wrapper";
    const DOC: &'static CStr = c"file_wrapper(file, block_size=32768): an iterable of blocks";

    fn call<'py>(
        py: Py<'py>,
        this: &Maker,
        args: &Args<'_, 'py>,
    ) -> Result<Object<'py>, Exception> {
        let [file, block] = args.bind(["filelike", "block_size"])?;
        let Some(file) = file else {
            return Err(Exception::new(Kind::Type, "file_wrapper takes a file"));
        };
        let block = block.filter(|block| block.as_int().is_some_and(|size| size > 0)).cloned();
        let block = block.unwrap_or_else(|| py.int(32 * 1024)).keep();
        let wrapper = FileWrapper { file: file.clone().keep(), block };
        Ok(this.0.instance(py, wrapper).into_object())
    }
}

struct NextBlock;

impl Function for NextBlock {
    type On = FileWrapper;
    const NAME: &'static CStr = c"__next__";
    const DOC: &'static CStr = c"the next block";

    fn call<'py>(
        py: Py<'py>,
        this: &FileWrapper,
        _: &Args<'_, 'py>,
    ) -> Result<Object<'py>, Exception> {
        let block = this.file.get(py).call_method("read", [this.block.get(py)])?;
        Ok(if block.is_true() { block } else { py.none() })
    }
}

struct Close;

impl Function for Close {
    type On = FileWrapper;
    const NAME: &'static CStr = c"close";
    const DOC: &'static CStr = c"closes the file";

    fn call<'py>(
        py: Py<'py>,
        this: &FileWrapper,
        _: &Args<'_, 'py>,
    ) -> Result<Object<'py>, Exception> {
        if let Some(close) = this.file.get(py).attribute_if_any(&py.interned("close"))? {
            close.call([])?;
        }
        Ok(py.none())
    }
}
