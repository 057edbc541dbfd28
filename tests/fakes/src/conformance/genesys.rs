//! The contract of [`Genesys`], in both forms of the API.

use genesys_replay::dead_letter::{InteractionId, InteractionRef};
use genesys_replay::genesys::{
    ApiForm, Call, Genesys, GenesysError, Interaction, RetryMark, RetryStatus,
};

use super::{Mishap, Result, holds, same, suite};

/// A Genesys Cloud and the marks on its interactions.
pub trait World {
    /// The implementation.
    type Genesys: Genesys;

    /// The port.
    fn genesys(&self) -> &Self::Genesys;

    /// The form of the API that it speaks.
    fn form(&self) -> ApiForm;

    /// Lets something befall the next call, which is this one.
    fn next_call(&self, call: Call, mishap: Mishap);

    /// Makes an interaction of these participants, as `(id, purpose)`.
    fn put_participants(&self, interaction: &str, participants: &[(&str, &str)]);

    /// Makes sure that there is no such interaction.
    fn forget(&self, interaction: &str);

    /// The marks that were written on an interaction, in order, each with where it went and as
    /// `attempt status`.
    fn marks(&self, interaction: &InteractionId) -> Vec<(Interaction, String)>;
}

/// Whether a Genesys Cloud keeps the contract.
///
/// # Errors
/// Names each case that failed.
pub async fn conforms(world: &impl World) -> Result<()> {
    suite!(world;
        mark_goes_to_the_participant_else_customer_else_first,
        fetch_of_a_missing_interaction_is_not_found,
        marks_are_overwritten_in_order,
        mark_is_idempotent,
        mark_of_a_missing_interaction_is_not_found,
        failed_call_changes_nothing,
        mark_is_idempotent_after_a_lost_response,
    )
}

const RETRYING: RetryMark = RetryMark {
    attempt: 1,
    status: RetryStatus::Retrying,
};

fn wanted(interaction: &str, participant: Option<&str>) -> Result<InteractionRef> {
    Ok(InteractionRef {
        id: id(interaction)?,
        participant: participant.map(str::to_owned),
    })
}

fn id(text: &str) -> Result<InteractionId> {
    Ok(InteractionId::new(text).ok_or("interaction id")?)
}

/// Where the mark of an interaction goes: to a participant, in the form that has them.
fn at(world: &impl World, interaction: &str, participant: &str) -> Result<Interaction> {
    let interaction = id(interaction)?;
    Ok(match world.form() {
        ApiForm::Conversations => Interaction::Conversation {
            id: interaction,
            participant: id(participant)?,
        },
        ApiForm::Interactions => Interaction::Record { id: interaction },
    })
}

fn no_marks(world: &impl World, name: &str) -> Result<()> {
    same("marks", &world.marks(&id(name)?), &Vec::new())
}

/// An interaction with one customer, fetched.
async fn with_customer(world: &impl World, name: &str) -> Result<Interaction> {
    world.put_participants(name, &[("caller", "customer")]);
    Ok(world.genesys().fetch(&wanted(name, None)?).await?)
}

async fn mark_goes_to_the_participant_else_customer_else_first(
    world: &impl World,
    name: &str,
) -> Result<()> {
    let all = [("bot", "ivr"), ("agent", "agent"), ("caller", "customer")];
    let external = [("bot", "ivr"), ("caller", "external")];
    let nobody = [("bot", "ivr"), ("agent", "agent")];
    for (participants, named, marked) in [
        (&all[..], Some("agent"), "agent"),
        (&all, Some("gone"), "caller"),
        (&all, None, "caller"),
        (&external, None, "caller"),
        (&nobody, None, "bot"),
    ] {
        world.put_participants(name, participants);
        // Twice: reading changes nothing.
        for _ in 0..2 {
            let found = world.genesys().fetch(&wanted(name, named)?).await?;
            same("found", &found, &at(world, name, marked)?)?;
        }
    }
    no_marks(world, name)
}

async fn fetch_of_a_missing_interaction_is_not_found(world: &impl World, name: &str) -> Result<()> {
    world.forget(name);
    let answer = world.genesys().fetch(&wanted(name, None)?).await;
    same("the fetch", &answer, &Err(GenesysError::NotFound))
}

async fn marks_are_overwritten_in_order(world: &impl World, name: &str) -> Result<()> {
    let interaction = with_customer(world, name).await?;
    for (attempt, status) in [
        (1, RetryStatus::Retrying),
        (2, RetryStatus::Retrying),
        (2, RetryStatus::ReplaySuccessful),
        (3, RetryStatus::ReplayFailed),
        (12, RetryStatus::ExhaustedRetries),
    ] {
        let mark = RetryMark { attempt, status };
        world.genesys().mark(&interaction, mark).await?;
    }
    let marks = [
        "1 retrying",
        "2 retrying",
        "2 replay_successful",
        "3 replay_failed",
        "12 exhausted_retries",
    ];
    let marks = marks.map(|mark| (interaction.clone(), mark.to_owned()));
    same("marks", &world.marks(&id(name)?), &marks.to_vec())
}

async fn mark_is_idempotent(world: &impl World, name: &str) -> Result<()> {
    let interaction = with_customer(world, name).await?;
    world.genesys().mark(&interaction, RETRYING).await?;
    world.genesys().mark(&interaction, RETRYING).await?;
    last_is_retrying(world, name)
}

fn last_is_retrying(world: &impl World, name: &str) -> Result<()> {
    let last = world.marks(&id(name)?).pop();
    let retrying = (at(world, name, "caller")?, "1 retrying".to_owned());
    same("the last mark", &last, &Some(retrying))
}

async fn mark_of_a_missing_interaction_is_not_found(world: &impl World, name: &str) -> Result<()> {
    with_customer(world, name).await?;
    let unknown = format!("{name}-unknown");
    world.forget(&unknown);
    let mut absent = vec![at(world, &unknown, "caller")?];
    if world.form() == ApiForm::Conversations {
        absent.push(at(world, name, "nobody")?);
    }
    for interaction in absent {
        let answer = world.genesys().mark(&interaction, RETRYING).await;
        same("the mark", &answer, &Err(GenesysError::NotFound))?;
    }
    no_marks(world, &unknown)?;
    no_marks(world, name)
}

async fn failed_call_changes_nothing(world: &impl World, name: &str) -> Result<()> {
    let interaction = with_customer(world, name).await?;
    world.next_call(Call::Fetch, Mishap::Down);
    let fetched = world.genesys().fetch(&wanted(name, None)?).await.map(drop);
    unavailable("the fetch", &fetched)?;
    world.next_call(Call::Mark, Mishap::Down);
    let marked = world.genesys().mark(&interaction, RETRYING).await;
    unavailable("the mark", &marked)?;
    no_marks(world, name)
}

async fn mark_is_idempotent_after_a_lost_response(world: &impl World, name: &str) -> Result<()> {
    let interaction = with_customer(world, name).await?;
    world.next_call(Call::Mark, Mishap::AnswerLost);
    let marked = world.genesys().mark(&interaction, RETRYING).await;
    unavailable("the mark", &marked)?;
    last_is_retrying(world, name)?;
    world.genesys().mark(&interaction, RETRYING).await?;
    last_is_retrying(world, name)
}

fn unavailable(what: &str, answer: &std::result::Result<(), GenesysError>) -> Result<()> {
    let unavailable = matches!(answer, Err(GenesysError::Unavailable { .. }));
    holds(&format!("{what} was answered {answer:?}"), unavailable)
}
