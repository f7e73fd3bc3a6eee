//! Schedules, their groups and rules, and what they need to fire.

use std::sync::Arc;

use trireme_types::Scope;

use crate::State;
use crate::object::{
    Firing, FiringPolicy, Rule, RuleKey, Schedule, ScheduleGroup, ScheduleGroupKey, ScheduleKey, Tags,
    Target, Trigger,
};

impl State {
    /// A schedule group. The default one is there only once it has tags.
    pub fn schedule_group(&self, key: &ScheduleGroupKey) -> Option<&Arc<ScheduleGroup>> {
        self.schedule_groups.get(key)
    }

    /// The schedule groups of an account and region, by name.
    pub fn schedule_groups_of<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> impl Iterator<Item = &'a Arc<ScheduleGroup>> {
        let first = ScheduleGroupKey { scope: scope.clone(), name: String::new() };
        let groups = self.schedule_groups.range(first..);
        groups.take_while(move |(key, _)| key.scope == *scope).map(|(_, group)| group)
    }

    /// A schedule.
    pub fn schedule(&self, key: &ScheduleKey) -> Option<&Arc<Schedule>> {
        self.schedules.get(key)
    }

    /// A group's schedules, by name.
    pub fn schedules_of<'a>(
        &'a self,
        group: &'a ScheduleGroupKey,
    ) -> impl Iterator<Item = &'a Arc<Schedule>> {
        let first = ScheduleKey { group: group.clone(), name: String::new() };
        let schedules = self.schedules.range(first..);
        schedules.take_while(move |(key, _)| key.group == *group).map(|(_, schedule)| schedule)
    }

    /// The schedules of an account and region, by group and name.
    pub fn schedules_in<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<Schedule>> {
        let group = ScheduleGroupKey { scope: scope.clone(), name: String::new() };
        let schedules = self.schedules.range(ScheduleKey { group, name: String::new() }..);
        schedules.take_while(move |(key, _)| key.group.scope == *scope).map(|(_, schedule)| schedule)
    }

    /// A rule.
    pub fn rule(&self, key: &RuleKey) -> Option<&Arc<Rule>> {
        self.rules.get(key)
    }

    /// The rules of an account and region, by name.
    pub fn rules_of<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a Arc<Rule>> {
        let first = RuleKey { scope: scope.clone(), name: String::new() };
        let rules = self.rules.range(first..);
        rules.take_while(move |(key, _)| key.scope == *scope).map(|(_, rule)| rule)
    }

    /// How far a trigger has come.
    pub fn firing(&self, trigger: &Trigger) -> Arc<Firing> {
        self.firings.get(trigger).cloned().unwrap_or_default()
    }

    /// A trigger's version; `None`: it is not there.
    pub fn trigger_version(&self, trigger: &Trigger) -> Option<u64> {
        match trigger {
            Trigger::Schedule(key) => self.schedule(key).map(|schedule| schedule.version),
            Trigger::Rule(key) => self.rule(key).map(|rule| rule.version),
        }
    }

    /// What a trigger starts.
    pub fn trigger_targets(&self, trigger: &Trigger) -> &[Target] {
        match trigger {
            Trigger::Schedule(key) => {
                self.schedule(key).map_or(&[], |schedule| std::slice::from_ref(&schedule.spec.target))
            }
            Trigger::Rule(key) => self.rule(key).map_or(&[], |rule| &rule.targets),
        }
    }

    /// How a trigger fires. What its tags say was checked when they were set.
    pub fn firing_policy(&self, trigger: &Trigger) -> FiringPolicy {
        let tags: Option<&Tags> = match trigger {
            Trigger::Schedule(key) => self.schedule_group(&key.group).map(|group| &group.tags),
            Trigger::Rule(key) => self.rule(key).map(|rule| &rule.tags),
        };
        tags.and_then(|tags| FiringPolicy::of(tags).ok()).unwrap_or_default()
    }
}
