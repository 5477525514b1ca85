//! What a Debian archive's index takes long for, for Python.

use std::cmp::Ordering;
use std::collections::HashMap;

use debian_index::{Field, Record, Stanza};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyMapping, PyString, PyTuple};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(compare_debian_versions, module)?)?;
    module.add_function(wrap_pyfunction!(encode_debian_records, module)?)?;
    module.add_function(wrap_pyfunction!(find_circles, module)?)?;
    module.add_function(wrap_pyfunction!(read_debian_index, module)?)
}

#[pyfunction]
fn compare_debian_versions(one: &str, other: &str) -> PyResult<i8> {
    let order = debian_index::compare(one, other).map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok(match order {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    })
}

/// Dicts of the packages, and that of the first one that cannot be, which ends the reading.
type Read<'py> = (Bound<'py, PyList>, Option<Bound<'py, PyDict>>);

#[pyfunction]
fn read_debian_index<'py>(py: Python<'py>, text: PyBackedBytes) -> PyResult<Read<'py>> {
    let (stanzas, unsound) = py.detach(|| {
        let mut found = Vec::new();
        for stanza in debian_index::stanzas(&text) {
            if !stanza.is_sound() {
                return (found, Some(stanza));
            }
            found.push(stanza);
        }
        (found, None)
    });
    let mut maker = Maker { py, names: Field::ALL.map(|field| PyString::intern(py, field.name())), words: HashMap::new() };
    let list = PyList::empty(py);
    for stanza in &stanzas {
        list.append(maker.make(stanza)?)?;
    }
    Ok((list, unsound.map(|stanza| maker.make(&stanza)).transpose()?))
}

/// Makes dicts. Words that stand in thousands of packages are one string.
struct Maker<'py, 'a> {
    py: Python<'py>,
    names: [Bound<'py, PyString>; Field::ALL.len()],
    words: HashMap<&'a [u8], Bound<'py, PyString>>,
}

impl<'py, 'a> Maker<'py, 'a> {
    fn make(&mut self, stanza: &Stanza<'a>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(self.py);
        for (field, value) in stanza.fields() {
            let text = || PyString::new(self.py, &String::from_utf8_lossy(value));
            let name = &self.names[field as usize];
            match field {
                Field::Architecture | Field::MultiArch | Field::Priority | Field::Section => {
                    dict.set_item(name, self.words.entry(value).or_insert_with(text).clone())?;
                }
                _ => dict.set_item(name, text())?,
            }
        }
        Ok(dict)
    }
}

#[pyfunction]
fn find_circles<'py>(py: Python<'py>, needs: &Bound<'py, PyDict>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
    let names: Vec<Bound<'py, PyString>> = needs.keys().iter().map(|name| Ok(name.cast_into()?)).collect::<PyResult<_>>()?;
    let numbers = names.iter().zip(0_u32..).map(|(name, number)| Ok((name.to_str()?, number))).collect::<PyResult<HashMap<_, _>>>()?;
    let mut edges = Vec::with_capacity(names.len());
    for needed in needs.values() {
        let mut found = Vec::new();
        for name in needed.try_iter()? {
            // Who is not listed needs nobody.
            found.extend(numbers.get(name?.cast::<PyString>()?.to_str()?));
        }
        edges.push(found);
    }
    let sets = py.detach(|| debian_index::groups(&edges));
    sets.into_iter()
        .map(|set| {
            let mut members: Vec<_> = set.into_iter().map(|number| names[number as usize].clone()).collect();
            members.sort_by_key(ToString::to_string);
            PyTuple::new(py, members)
        })
        .collect()
}

#[pyfunction]
fn encode_debian_records<'py>(
    py: Python<'py>,
    names: Vec<Bound<'py, PyString>>,
    packages: &Bound<'py, PyMapping>,
    depends: &Bound<'py, PyMapping>,
    groups: &Bound<'py, PyMapping>,
    broken: &Bound<'py, PyMapping>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut out = vec![b'{'];
    for name in &names {
        let stanza = packages.get_item(name)?.cast_into::<PyDict>()?;
        let maybe = |from: &Bound<'py, PyMapping>| from.contains(name)?.then(|| from.get_item(name)).transpose();
        let mut fields: [Option<String>; Field::ALL.len()] = Default::default();
        for field in Field::ALL {
            fields[field as usize] = stanza.get_item(PyString::intern(py, field.name()))?.map(|value| value.extract()).transpose()?;
        }
        let needed: Vec<String> = depends.get_item(name)?.extract()?;
        let group: Option<Vec<String>> = maybe(groups)?.map(|members| members.extract()).transpose()?;
        let why: Option<String> = maybe(broken)?.map(|why| why.extract()).transpose()?;
        let get = |field| fields[field as usize].as_deref().unwrap_or_default();
        if out.len() > 1 {
            out.push(b',');
        }
        let record = Record {
            broken: why.as_deref(),
            depends: needed.iter().map(String::as_str).collect(),
            description: get(Field::Description),
            essential: get(Field::Essential) == "yes",
            filename: get(Field::Filename),
            group: group.as_ref().map(|members| members.iter().map(String::as_str).collect()),
            homepage: fields[Field::Homepage as usize].as_deref(),
            installed_size: get(Field::InstalledSize),
            name: name.to_str()?,
            priority: get(Field::Priority),
            section: get(Field::Section),
            sha256: get(Field::Sha256),
            size: get(Field::Size),
            source: get(Field::Source),
            version: get(Field::Version),
        };
        record.write(&mut out);
    }
    out.push(b'}');
    Ok(PyBytes::new(py, &out))
}
