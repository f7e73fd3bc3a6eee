//! Tags.

use trireme_ecs_model::shapes::Tag;
use trireme_state::limits::TAGS_PER_RESOURCE;
use trireme_state::object::Tags;

use crate::error::{Error, Result};

/// Tags from a request. The model has checked lengths and characters.
pub(crate) fn parse(given: Option<&[Tag]>) -> Result<Tags> {
    let given = given.unwrap_or_default();
    if given.len() > TAGS_PER_RESOURCE {
        return Err(Error::invalid(format!("A resource can have at most {TAGS_PER_RESOURCE} tags.")));
    }
    let mut tags = Tags::new();
    for tag in given {
        let key = tag.key.clone().unwrap_or_default();
        check_key(&key)?;
        if tags.insert(key.clone(), tag.value.clone().unwrap_or_default()).is_some() {
            return Err(Error::invalid(format!("Duplicate tag keys found: {key}.")));
        }
    }
    Ok(tags)
}

/// A key that a user may set or remove.
pub(crate) fn check_key(key: &str) -> Result<()> {
    if key.is_empty() {
        return Err(Error::invalid("A tag's key must not be empty."));
    }
    if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Err(Error::invalid(format!("Tag keys beginning with aws: are reserved: {key}.")));
    }
    Ok(())
}

/// Tags for an answer, by key.
pub(crate) fn list(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag { key: Some(key.clone()), value: Some(value.clone()) };
    tags.iter().map(tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str) -> Tag {
        Tag { key: Some(key.to_owned()), value: None }
    }

    #[test]
    fn keys_are_unique_and_not_awss() {
        assert_eq!(parse(Some(&[tag("a"), tag("b")])).unwrap().len(), 2);
        assert!(parse(Some(&[tag("a"), tag("a")])).is_err());
        assert!(parse(Some(&[tag("AWS:a")])).is_err());
        assert!(parse(Some(&[tag("")])).is_err());
        assert!(parse(Some(&vec![tag("a"); 51])).is_err());
    }
}
