//! The items of the table by their keys.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::attribute::{Attribute, Item};
use super::reply::Invalid;

pub(super) struct Items {
    partition_key: String,
    items: BTreeMap<String, Item>,
}

impl Items {
    pub(super) fn new(partition_key: &str) -> Self {
        Self {
            partition_key: partition_key.to_owned(),
            items: BTreeMap::new(),
        }
    }

    pub(super) fn partition_key(&self) -> &str {
        &self.partition_key
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
    }

    pub(super) fn get(&self, id: &str) -> Option<&Item> {
        self.items.get(id)
    }

    /// The item with this id, made of its key alone if there is none.
    pub(super) fn get_or_create(&mut self, id: &str, key: &Item) -> &mut Item {
        self.items
            .entry(id.to_owned())
            .or_insert_with(|| key.clone())
    }

    /// Stores an item and returns the one it replaces.
    pub(super) fn put(&mut self, id: String, item: Item) -> Option<Item> {
        self.items.insert(id, item)
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Item> {
        self.items.remove(id)
    }

    pub(super) fn to_json(&self) -> Vec<Map<String, Value>> {
        let items = self.items.values();
        items
            .filter_map(|item| match serde_json::to_value(item) {
                Ok(Value::Object(item)) => Some(item),
                _ => None,
            })
            .collect()
    }

    /// The id in a request's key, which consists of nothing else.
    pub(super) fn id_of_key<'k>(&self, key: &'k Item) -> Result<&'k str, Invalid> {
        if key.len() != 1 || !key.contains_key(&self.partition_key) {
            let problem = "The provided key element does not match the schema";
            return Err(Invalid(problem.to_owned()));
        }
        self.id_of_item(key)
    }

    /// The id among an item's attributes.
    pub(super) fn id_of_item<'k>(&self, item: &'k Item) -> Result<&'k str, Invalid> {
        let name = &self.partition_key;
        match item.get(name) {
            Some(Attribute::S(id)) if !id.is_empty() => Ok(id),
            Some(_) => Err(Invalid(format!(
                "One or more parameter values were invalid: the key {name} must be a string that is not empty"
            ))),
            None => Err(Invalid(format!(
                "One or more parameter values were invalid: Missing the key {name} in the item"
            ))),
        }
    }
}
