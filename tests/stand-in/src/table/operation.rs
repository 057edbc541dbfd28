//! The operations.

use super::attribute::Item;
use super::condition::Condition;
use super::items::Items;
use super::reply::{self, Invalid};
use super::request::{OnRefusal, Request, ReturnValues};
use super::update::Update;
use crate::answer::Answer;

/// Carries a request out at once, and as a whole or not at all.
type Operation = fn(&mut Items, &mut Request) -> Result<Answer, Invalid>;

/// The operation of this name.
pub(super) fn named(name: &str) -> Option<Operation> {
    match name {
        "GetItem" => Some(get),
        "PutItem" => Some(put),
        "UpdateItem" => Some(update),
        "DeleteItem" => Some(delete),
        _ => None,
    }
}

fn get(items: &mut Items, request: &mut Request) -> Result<Answer, Invalid> {
    let id = items.id_of_key(request.key()?)?;
    Ok(reply::done(items.get(id).map(|item| ("Item", item))))
}

fn put(items: &mut Items, request: &mut Request) -> Result<Answer, Invalid> {
    let item = request.take_item()?;
    let id = items.id_of_item(&item)?.to_owned();
    let wants_old = request.wants_old()?;
    if let Some(refusal) = refusal(request, items.get(&id))? {
        return Ok(refusal);
    }
    let old = items.put(id, item).filter(|_| wants_old);
    Ok(reply::done(old.map(|item| ("Attributes", item))))
}

fn delete(items: &mut Items, request: &mut Request) -> Result<Answer, Invalid> {
    let id = items.id_of_key(request.key()?)?;
    let wants_old = request.wants_old()?;
    if let Some(refusal) = refusal(request, items.get(id))? {
        return Ok(refusal);
    }
    let old = items.remove(id).filter(|_| wants_old);
    Ok(reply::done(old.map(|item| ("Attributes", item))))
}

fn update(items: &mut Items, request: &mut Request) -> Result<Answer, Invalid> {
    let key = request.key()?;
    let id = items.id_of_key(key)?;
    let expression = request.update_expression.as_deref();
    let update = expression.map(|text| Update::parse(text, request.placeholders()));
    let update = update.transpose()?.unwrap_or_default();
    if update.names().any(|name| name == items.partition_key()) {
        return Err(Invalid(format!(
            "One or more parameter values were invalid: Cannot update attribute {}. This attribute is part of the key",
            items.partition_key()
        )));
    }
    let stored = items.get(id);
    if let Some(refusal) = refusal(request, stored)? {
        return Ok(refusal);
    }
    let values = update.values(stored.unwrap_or(key))?;
    let old = match request.return_values {
        ReturnValues::AllOld => stored.cloned(),
        ReturnValues::None | ReturnValues::AllNew => None,
    };
    let item = items.get_or_create(id, key);
    update.apply(values, item);
    Ok(match request.return_values {
        ReturnValues::None => reply::done::<()>(None),
        ReturnValues::AllNew => reply::done(Some(("Attributes", &*item))),
        ReturnValues::AllOld => reply::done(old.map(|item| ("Attributes", item))),
    })
}

/// The answer to a request whose condition does not hold.
fn refusal(request: &Request, stored: Option<&Item>) -> Result<Option<Answer>, Invalid> {
    let Some(text) = &request.condition_expression else {
        return Ok(None);
    };
    let condition = Condition::parse(text, request.placeholders())?;
    if condition.holds(stored.unwrap_or(&Item::new())) {
        return Ok(None);
    }
    let shown = match request.return_values_on_condition_check_failure {
        OnRefusal::None => None,
        OnRefusal::AllOld => stored,
    };
    Ok(Some(reply::condition_failed(shown)))
}
