//! What a Debian archive's index takes long for, for Python.

use std::cmp::Ordering;
use std::collections::HashMap;

use debian_index::{Field, Stanza};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(compare_debian_versions, module)?)?;
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
