//! Programs and libraries that find what they need somewhere else: an ELF file's interpreter and RUNPATH, read and set.
//!
//! Purpose: a program of a distribution looks for its loader and its libraries at fixed places. [`edit`] gives it others.
//!
//! Invariants: the file is not laid out anew. What is longer than before (the table of strings, the interpreter, at times the
//! program headers and the dynamic section) is appended in one new segment behind all others, and the few headers that lead
//! there are overwritten; no other byte changes, so relocations, symbol versions, thread-local storage, notes and what becomes
//! read-only stay what they were. Files may come from an enemy: no input panics, and nothing is allocated by a size that a file
//! only claims.
//!
//! The new segment needs a program header. One is free where a PT_NOTE says again what PT_GNU_PROPERTY says, which loaders
//! prefer; else the table moves. Kernels before 5.18 tell an executable's loader a wrong address of a table whose segment does
//! not lie as far from its place in the file as the first one does, so there it does, at the price of zeros for the bss.
//!
//! What it does not do: 32 bits and big-endian machines; it opens no file, and knows no store.

#![forbid(unsafe_code)]

use object::elf::{
    Dyn64, DynamicTag, FileHeader64, ProgramHeader64, ProgramType, SectionHeader64, DT_NEEDED, DT_NULL, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ,
    DT_STRTAB, ELFCLASS64, ELFDATA2LSB, ELFMAG, EM_X86_64, ET_DYN, ET_EXEC, PF_R, PF_W, PT_DYNAMIC, PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, PT_NOTE,
    PT_PHDR, SHT_DYNAMIC, SHT_STRTAB,
};
use object::endian::{LittleEndian as Le, I64, U32, U64};
use object::pod::{bytes_of, bytes_of_slice, from_bytes, slice_from_bytes, Pod};

/// An entry that `prelink` leaves; what it computed would no longer hold.
const DT_GNU_PRELINKED: DynamicTag = DynamicTag(0x6fff_fdf5);
/// How many zeros a file may grow by.
const MOST_PADDING: u64 = 64 << 20;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("ELF file is damaged: {0}")]
    Damaged(&'static str),
    #[error("ELF file of a kind that is left alone: {0}")]
    Unsupported(&'static str),
}

/// What a dynamically linked file says of itself. Names are bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// The number of the machine, such as 62 for x86-64.
    pub machine: u16,
    /// The loader, of an executable.
    pub interpreter: Option<Vec<u8>>,
    pub soname: Option<Vec<u8>>,
    pub needed: Vec<Vec<u8>>,
    /// RUNPATH, or the RPATH of a file that has no RUNPATH: folders with colons between them.
    pub runpath: Option<Vec<u8>>,
}

/// Bytes that belong at a place of the file, maybe behind its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    pub offset: u64,
    pub bytes: Vec<u8>,
}

/// Reads a file; `None` for one that is no ELF file, or not dynamically linked.
pub fn read(data: &[u8]) -> Result<Option<Elf>, Error> {
    Ok(match Image::parse(data)? {
        None => None,
        Some(image) => Some(image.describe()?),
    })
}

/// What to write so that a dynamically linked file has another interpreter, if it has one at all, and another RUNPATH (none when
/// it is empty) instead of its RUNPATH and RPATH.
pub fn edit(data: &[u8], interpreter: Option<&[u8]>, runpath: Option<&[u8]>) -> Result<Vec<Write>, Error> {
    let mut image = Image::parse(data)?.ok_or(Error::Unsupported("not dynamically linked"))?;
    let before = image.describe()?;
    let interpreter = interpreter.filter(|wanted| before.interpreter.as_deref().is_some_and(|path| path != *wanted));
    let had_rpath = image.dynamic.iter().any(|entry| entry.d_tag.get(Le) == DT_RPATH);
    let runpath = runpath.filter(|wanted| had_rpath || *wanted != before.runpath.as_deref().unwrap_or_default());
    if interpreter.is_none() && runpath.is_none() {
        return Ok(Vec::new());
    }
    if interpreter.into_iter().chain(runpath).any(|text| text.contains(&0)) {
        return Err(Error::Unsupported("a path with a zero byte"));
    }
    image.set(interpreter, runpath)
}

/// The tables of a file that say how it is loaded.
struct Image<'data> {
    data: &'data [u8],
    header: FileHeader64<Le>,
    segments: Vec<ProgramHeader64<Le>>,
    sections: Vec<SectionHeader64<Le>>,
    /// Up to the entry that ends it.
    dynamic: Vec<Dyn64<Le>>,
    dynamic_segment: usize,
    strings: &'data [u8],
}

impl<'data> Image<'data> {
    fn parse(data: &'data [u8]) -> Result<Option<Image<'data>>, Error> {
        if !data.starts_with(&ELFMAG) {
            return Ok(None);
        }
        match data.get(4..6) {
            None => return Err(Error::Damaged("it ends within its header")),
            Some(kind) if kind == [ELFCLASS64.0, ELFDATA2LSB.0] => (),
            Some(_) => return Err(Error::Unsupported("32 bits or big-endian")),
        }
        let header = *from_bytes::<FileHeader64<Le>>(data).map_err(|()| Error::Damaged("it ends within its header"))?.0;
        if ![ET_EXEC, ET_DYN].contains(&header.e_type.get(Le)) || header.e_phnum.get(Le) == 0 {
            return Ok(None);
        }
        if usize::from(header.e_phentsize.get(Le)) != size_of::<ProgramHeader64<Le>>() {
            return Err(Error::Damaged("program headers of another size"));
        }
        let segments = table::<ProgramHeader64<Le>>(data, header.e_phoff.get(Le), header.e_phnum.get(Le).into(), "no room for the program headers")?;
        let sections = match (header.e_shoff.get(Le), header.e_shnum.get(Le)) {
            (0, _) => &[],
            (_, 0) => return Err(Error::Unsupported("65,280 sections or more")),
            (offset, count) => table::<SectionHeader64<Le>>(data, offset, count.into(), "no room for the section headers")?,
        };
        let Some(dynamic_segment) = segments.iter().position(|segment| segment.p_type.get(Le) == PT_DYNAMIC) else {
            return Ok(None);
        };
        // The symbols of a program, kept in a file beside it, have its headers and not what these lead to.
        if !sections.is_empty() && !sections.iter().any(|section| section.sh_type.get(Le) == SHT_DYNAMIC) {
            return Ok(None);
        }
        let place = &segments[dynamic_segment];
        let count = place.p_filesz.get(Le) / size_of::<Dyn64<Le>>() as u64;
        let entries = table::<Dyn64<Le>>(data, place.p_offset.get(Le), count, "no room for the dynamic section")?;
        let end = entries.iter().position(|entry| entry.d_tag.get(Le) == DT_NULL).ok_or(Error::Damaged("the dynamic section has no end"))?;
        let mut image = Image {
            data,
            header,
            segments: segments.to_vec(),
            sections: sections.to_vec(),
            dynamic: entries[..end].to_vec(),
            dynamic_segment,
            strings: &[],
        };
        let (Some(address), Some(size)) = (image.value(DT_STRTAB), image.value(DT_STRSZ)) else {
            return Err(Error::Damaged("the dynamic section names no strings"));
        };
        image.strings = part(data, image.offset_of(address)?, size, "no room for the strings")?;
        Ok(Some(image))
    }

    fn describe(&self) -> Result<Elf, Error> {
        let texts = |tag| self.dynamic.iter().filter(move |entry| entry.d_tag.get(Le) == tag).map(|entry| self.string(entry.d_val.get(Le)));
        Ok(Elf {
            machine: self.header.e_machine.get(Le).0,
            interpreter: match self.segment(PT_INTERP) {
                None => None,
                Some(segment) => {
                    let text = part(self.data, segment.p_offset.get(Le), segment.p_filesz.get(Le), "no room for the interpreter")?;
                    Some(until_zero(text).ok_or(Error::Damaged("the interpreter has no end"))?.to_vec())
                }
            },
            soname: texts(DT_SONAME).next().transpose()?,
            needed: texts(DT_NEEDED).collect::<Result<_, _>>()?,
            runpath: texts(DT_RUNPATH).chain(texts(DT_RPATH)).next().transpose()?,
        })
    }

    fn segment(&self, kind: ProgramType) -> Option<&ProgramHeader64<Le>> {
        self.segments.iter().find(|segment| segment.p_type.get(Le) == kind)
    }

    fn value(&self, tag: DynamicTag) -> Option<u64> {
        self.dynamic.iter().find(|entry| entry.d_tag.get(Le) == tag).map(|entry| entry.d_val.get(Le))
    }

    fn string(&self, at: u64) -> Result<Vec<u8>, Error> {
        let rest = usize::try_from(at).ok().and_then(|at| self.strings.get(at..));
        rest.and_then(until_zero).map(<[u8]>::to_vec).ok_or(Error::Damaged("a string without an end"))
    }

    fn loads(&self) -> impl Iterator<Item = &ProgramHeader64<Le>> {
        self.segments.iter().filter(|segment| segment.p_type.get(Le) == PT_LOAD)
    }

    /// Where in the file is what will be at an address.
    fn offset_of(&self, address: u64) -> Result<u64, Error> {
        self.loads()
            .find_map(|load| {
                let within = address.checked_sub(load.p_vaddr.get(Le)).filter(|within| *within < load.p_filesz.get(Le))?;
                load.p_offset.get(Le).checked_add(within)
            })
            .ok_or(Error::Damaged("an address that no segment has"))
    }

    /// The program header that can become the new segment's.
    fn spare_segment(&self) -> Option<usize> {
        let property = self.segment(PT_GNU_PROPERTY)?;
        let is_behind_loads = |index: &usize| self.segments[index + 1..].iter().all(|segment| segment.p_type.get(Le) != PT_LOAD);
        let says_again = |segment: &ProgramHeader64<Le>| {
            segment.p_type.get(Le) == PT_NOTE
                && segment.p_offset.get(Le) == property.p_offset.get(Le)
                && segment.p_filesz.get(Le) == property.p_filesz.get(Le)
        };
        self.segments.iter().position(says_again).filter(is_behind_loads)
    }

    fn set(&mut self, interpreter: Option<&[u8]>, runpath: Option<&[u8]>) -> Result<Vec<Write>, Error> {
        if self.dynamic.iter().any(|entry| entry.d_tag.get(Le) == DT_GNU_PRELINKED) {
            return Err(Error::Unsupported("prelinked"));
        }
        let spare = self.spare_segment();
        let moves_headers = spare.is_none();
        let mut tail = self.place_tail(moves_headers)?;
        if moves_headers {
            tail.take(((self.segments.len() + 1) * size_of::<ProgramHeader64<Le>>()) as u64);
        }
        let mut writes = Vec::new();
        let mut moved_dynamic = false;
        if let Some(runpath) = runpath {
            self.set_runpath(runpath, &mut tail);
            moved_dynamic = self.place_dynamic(&mut tail, &mut writes);
        }
        if let Some(interpreter) = interpreter {
            self.set_interpreter(interpreter, &mut tail);
        }
        self.add_segment(&mut tail, spare, moved_dynamic)?;
        writes.push(Write { offset: 0, bytes: bytes_of(&self.header).to_vec() });
        if !moves_headers {
            writes.push(Write { offset: self.header.e_phoff.get(Le), bytes: bytes_of_slice(&self.segments).to_vec() });
        }
        if !self.sections.is_empty() {
            writes.push(Write { offset: self.header.e_shoff.get(Le), bytes: bytes_of_slice(&self.sections).to_vec() });
        }
        writes.push(Write { offset: tail.offset, bytes: tail.bytes });
        Ok(writes)
    }

    /// Where the new segment begins: behind the file's end, and behind every address that is in use.
    fn place_tail(&self, moves_headers: bool) -> Result<Tail, Error> {
        let odd = || Error::Damaged("segments at impossible addresses");
        let page = if self.header.e_machine.get(Le) == EM_X86_64 { 0x1000 } else { 0x10000 };
        let mut end = 0;
        for load in self.loads() {
            let this = load.p_vaddr.get(Le);
            if this < end {
                return Err(Error::Unsupported("segments that are not in order"));
            }
            end = this.checked_add(load.p_memsz.get(Le)).filter(|end| *end < 1 << 62).ok_or_else(odd)?;
        }
        let end = end.next_multiple_of(page);
        let size = self.data.len() as u64;
        if moves_headers && self.segment(PT_INTERP).is_some() {
            let first = self.loads().next().ok_or_else(odd)?;
            let distance = first.p_vaddr.get(Le).checked_sub(first.p_offset.get(Le)).ok_or_else(odd)?;
            let offset = end.checked_sub(distance).ok_or_else(odd)?.max(size.next_multiple_of(page));
            if offset - size > MOST_PADDING {
                return Err(Error::Unsupported("no room for another program header"));
            }
            return Ok(Tail { offset, address: offset.checked_add(distance).ok_or_else(odd)?, page, bytes: Vec::new() });
        }
        // glibc takes the first segment for the table's whose pages reach over its place in the file, though what comes after that
        // segment's own bytes is not mapped from the file there.
        let offset = size.next_multiple_of(if moves_headers { page } else { 8 });
        // A page of the file is mapped as a whole, so both lie alike within their pages.
        Ok(Tail { offset, address: end + offset % page, page, bytes: Vec::new() })
    }

    fn set_runpath(&mut self, runpath: &[u8], tail: &mut Tail) {
        let is_path = |entry: &Dyn64<Le>| [DT_RUNPATH, DT_RPATH].contains(&entry.d_tag.get(Le));
        let at = self.dynamic.iter().position(is_path).unwrap_or(self.dynamic.len());
        self.dynamic.retain(|entry| !is_path(entry));
        if runpath.is_empty() {
            return;
        }
        let old = self.value(DT_STRTAB);
        let size = (self.strings.len() + runpath.len() + 1) as u64;
        let (offset, address) = tail.add(&[self.strings, runpath, b"\0"].concat());
        self.dynamic.insert(at, Dyn64 { d_tag: I64::new(Le, DT_RUNPATH), d_val: U64::new(Le, self.strings.len() as u64) });
        for found in &mut self.dynamic {
            match found.d_tag.get(Le) {
                DT_STRTAB => found.d_val.set(Le, address),
                DT_STRSZ => found.d_val.set(Le, size),
                _ => (),
            }
        }
        if let Some(section) = self.sections.iter_mut().find(|section| section.sh_type.get(Le) == SHT_STRTAB && Some(section.sh_addr.get(Le)) == old)
        {
            move_section(section, offset, address, size);
        }
    }

    /// Writes the dynamic section where it was, or into the new segment if it has outgrown its place.
    fn place_dynamic(&mut self, tail: &mut Tail, writes: &mut Vec<Write>) -> bool {
        let size = size_of::<Dyn64<Le>>();
        let place = &mut self.segments[self.dynamic_segment];
        let room = usize::try_from(place.p_filesz.get(Le)).unwrap_or(0) / size * size;
        let mut bytes = bytes_of_slice(&self.dynamic).to_vec();
        bytes.resize(room.max(bytes.len() + size), 0);
        if bytes.len() <= room {
            writes.push(Write { offset: place.p_offset.get(Le), bytes });
            return false;
        }
        let (offset, address) = tail.add(&bytes);
        move_segment(place, offset, address, bytes.len() as u64);
        if let Some(section) = self.sections.iter_mut().find(|section| section.sh_type.get(Le) == SHT_DYNAMIC) {
            move_section(section, offset, address, bytes.len() as u64);
        }
        true
    }

    fn set_interpreter(&mut self, interpreter: &[u8], tail: &mut Tail) {
        let (offset, address) = tail.add(&[interpreter, b"\0"].concat());
        let size = interpreter.len() as u64 + 1;
        for segment in self.segments.iter_mut().filter(|segment| segment.p_type.get(Le) == PT_INTERP) {
            let old = (segment.p_offset.get(Le), segment.p_filesz.get(Le));
            move_segment(segment, offset, address, size);
            if let Some(section) = self.sections.iter_mut().find(|section| (section.sh_offset.get(Le), section.sh_size.get(Le)) == old) {
                move_section(section, offset, address, size);
            }
        }
    }

    fn add_segment(&mut self, tail: &mut Tail, spare: Option<usize>, is_writable: bool) -> Result<(), Error> {
        let mut new = ProgramHeader64 {
            p_type: U32::new(Le, PT_LOAD),
            p_flags: U32::new(Le, if is_writable { PF_R | PF_W } else { PF_R }),
            p_offset: U64::default(),
            p_vaddr: U64::default(),
            p_paddr: U64::default(),
            p_filesz: U64::default(),
            p_memsz: U64::default(),
            p_align: U64::new(Le, tail.page),
        };
        move_segment(&mut new, tail.offset, tail.address, tail.bytes.len() as u64);
        if let Some(spare) = spare {
            self.segments[spare] = new;
            return Ok(());
        }
        self.segments.push(new);
        let count =
            u16::try_from(self.segments.len()).ok().filter(|count| *count < u16::MAX).ok_or(Error::Unsupported("too many program headers"))?;
        self.header.e_phnum.set(Le, count);
        self.header.e_phoff.set(Le, tail.offset);
        let size = (self.segments.len() * size_of::<ProgramHeader64<Le>>()) as u64;
        for segment in self.segments.iter_mut().filter(|segment| segment.p_type.get(Le) == PT_PHDR) {
            move_segment(segment, tail.offset, tail.address, size);
        }
        let bytes = bytes_of_slice(&self.segments);
        tail.bytes[..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// The new segment while it is filled.
struct Tail {
    offset: u64,
    address: u64,
    page: u64,
    bytes: Vec<u8>,
}

impl Tail {
    /// Appends `bytes`, aligned for any table; where they are in the file, and in memory.
    fn add(&mut self, bytes: &[u8]) -> (u64, u64) {
        let at = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(at, 0);
        self.bytes.extend_from_slice(bytes);
        (self.offset + at as u64, self.address + at as u64)
    }

    /// Leaves room.
    fn take(&mut self, size: u64) {
        self.bytes.resize(self.bytes.len() + size as usize, 0);
    }
}

fn move_segment(segment: &mut ProgramHeader64<Le>, offset: u64, address: u64, size: u64) {
    segment.p_offset.set(Le, offset);
    segment.p_vaddr.set(Le, address);
    segment.p_paddr.set(Le, address);
    segment.p_filesz.set(Le, size);
    segment.p_memsz.set(Le, size);
}

fn move_section(section: &mut SectionHeader64<Le>, offset: u64, address: u64, size: u64) {
    section.sh_offset.set(Le, offset);
    section.sh_addr.set(Le, address);
    section.sh_size.set(Le, size);
}

fn part<'data>(data: &'data [u8], offset: u64, size: u64, otherwise: &'static str) -> Result<&'data [u8], Error> {
    let found = || data.get(usize::try_from(offset).ok()?..usize::try_from(offset.checked_add(size)?).ok()?);
    found().ok_or(Error::Damaged(otherwise))
}

fn table<'data, T: Pod>(data: &'data [u8], offset: u64, count: u64, otherwise: &'static str) -> Result<&'data [T], Error> {
    let size = count.checked_mul(size_of::<T>() as u64).ok_or(Error::Damaged(otherwise))?;
    let bytes = part(data, offset, size, otherwise)?;
    let count = bytes.len() / size_of::<T>();
    Ok(slice_from_bytes(bytes, count).map_err(|()| Error::Damaged(otherwise))?.0)
}

fn until_zero(text: &[u8]) -> Option<&[u8]> {
    text.iter().position(|byte| *byte == 0).map(|end| &text[..end])
}
