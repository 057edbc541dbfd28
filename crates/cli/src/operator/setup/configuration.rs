//! The configuration files: `samconfig.toml`, and on request those of Terraform and the AWS CDK.

use std::collections::BTreeSet;

use super::parameters::Parameters;
use super::samconfig::{Deployment, Samconfig};
use super::step::{SetupStep, StepChange, StepName};
use super::{DEFAULT_STACK, SAMCONFIG, SetupRun, Stopped};

/// The error of a configuration file, for people: the name of the file and the reason.
type FileProblem = (String, String);

/// The texts of changed files, by their names.
type FileTexts = Vec<(&'static str, String)>;

impl SetupRun<'_> {
    /// Reads the answers of earlier runs. The arguments take precedence.
    pub(super) fn read_configuration(&mut self) -> Result<(), Stopped> {
        let read = self.folder.read(SAMCONFIG).map_err(|error| (SAMCONFIG.to_owned(), error));
        let read = read.and_then(|text| {
            let config = Samconfig::parse(text.as_deref().unwrap_or_default());
            let config = config.and_then(|config| Ok((config.deployment()?, config)));
            config.map_err(|error| (SAMCONFIG.to_owned(), error.to_string()))
        });
        let (deployment, config) = match read {
            Ok(read) => read,
            Err((file, error)) => {
                let hint = "repair the file, or name another folder: --folder";
                return self.refuse(StepName::Configuration, format!("{file}: {error}"), hint);
            }
        };
        let stack = self.wishes.stack.clone().unwrap_or(deployment.stack);
        let mut parameters = deployment.parameters;
        parameters.extend(self.wishes.parameters.clone());
        self.deployment = Deployment {
            stack: if stack.is_empty() { DEFAULT_STACK.to_owned() } else { stack },
            region: self.wishes.region.clone(),
            profile: self.wishes.profile.clone().or(deployment.profile),
            parameters,
        };
        self.config = config;
        Ok(())
    }

    /// Writes the answers. Does nothing if the files have them already.
    pub(super) fn write_configuration(&mut self, name: StepName) -> Result<(), Stopped> {
        let (changes, texts) = match self.file_changes() {
            Ok(changes) => changes,
            Err((file, error)) => {
                let hint = "repair or remove the file, then run setup again";
                return self.refuse(name, format!("{file}: {error}"), hint);
            }
        };
        let found = if changes.is_empty() {
            format!("{SAMCONFIG} has the parameters of {}", self.deployment.stack)
        } else {
            format!("{SAMCONFIG} for the stack {}", self.deployment.stack)
        };
        let step = SetupStep::planned(name, found, changes);
        let needs_secret = self
            .report
            .steps
            .iter()
            .any(|step| step.name == StepName::Secret && step.state.is_open());
        if needs_secret {
            // Without the ARN of the secret the file would be incomplete.
            return self.settle(step);
        }
        if !self.is_approved(&step) {
            return self.keep(step);
        }
        let written = self.write_files(&texts);
        self.applied(step, written, "check the folder: --folder")
    }

    pub(super) fn write_files(&mut self, texts: &[(&str, String)]) -> Result<(), String> {
        for (file, text) in texts {
            self.folder.write(file, text).map_err(|error| format!("{file}: {error}"))?;
        }
        Ok(())
    }

    /// Returns the changes of the files for people, and the new texts of the changed files.
    pub(super) fn file_changes(&self) -> Result<(Vec<StepChange>, FileTexts), FileProblem> {
        let problem = |file: &str, error: &dyn ToString| (file.to_owned(), error.to_string());
        let read = |file: &str| self.folder.read(file).map_err(|error| problem(file, &error));
        let mut texts = Vec::new();
        let mut changes = Vec::new();
        let config = self.config.clone();
        let before = config.deployment().map_err(|error| problem(SAMCONFIG, &error))?;
        let text = config.with(&self.deployment).map_err(|error| problem(SAMCONFIG, &error))?;
        if read(SAMCONFIG)?.as_ref() != Some(&text) {
            texts.push((SAMCONFIG, text));
            changes = deployment_changes(&before, &self.deployment);
            if changes.is_empty() {
                changes.push(StepChange::new(SAMCONFIG, None, "the form of the SAM CLI"));
            }
        }
        for file in &self.wishes.files {
            let existing = read(file.name())?;
            let text = file.with(existing.as_deref(), &self.deployment.parameters);
            let text = text.map_err(|error| problem(file.name(), &error))?;
            if existing.as_ref() != Some(&text) {
                let before = existing.map(|_| "other parameters".to_owned());
                changes.push(StepChange::new(file.name(), before, "these parameters"));
                texts.push((file.name(), text));
            }
        }
        Ok((changes, texts))
    }
}

/// Returns the differences of two deployments.
fn deployment_changes(before: &Deployment, after: &Deployment) -> Vec<StepChange> {
    let mut changes = Vec::new();
    let mut compare = |what: &str, before: &str, after: &str| {
        if before != after {
            let before = Some(before.to_owned()).filter(|text| !text.is_empty());
            changes.push(StepChange::new(what, before, after));
        }
    };
    compare("stack_name", &before.stack, &after.stack);
    compare("region", &before.region, &after.region);
    compare(
        "profile",
        before.profile.as_deref().unwrap_or_default(),
        after.profile.as_deref().unwrap_or_default(),
    );
    let names: BTreeSet<&String> =
        before.parameters.keys().chain(after.parameters.keys()).collect();
    let value =
        |parameters: &Parameters, name: &str| parameters.get(name).cloned().unwrap_or_default();
    for name in names {
        compare(name, &value(&before.parameters, name), &value(&after.parameters, name));
    }
    changes
}
