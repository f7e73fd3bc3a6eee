//! Wire names to Rust names.

/// `enableECSManagedTags` to `enable_ecs_managed_tags`; keywords become raw identifiers.
pub fn field(wire: &str) -> String {
    let words = words(&wire.replace("GiB", "Gib").replace("MiB", "Mib"));
    let name = words.join("_").to_lowercase();
    match name.as_str() {
        "type" | "ref" | "in" | "match" | "use" | "final" | "virtual" => format!("r#{name}"),
        _ => name,
    }
}

/// `amazon-web-services`, `TASK_SET` and `distinctInstance` to `AmazonWebServices`, `TaskSet` and `DistinctInstance`.
pub fn variant(wire: &str) -> String {
    let mut name = String::new();
    for word in words(wire) {
        let mut letters = word.chars();
        if let Some(first) = letters.next() {
            name.extend(first.to_uppercase());
            name.push_str(&letters.as_str().to_lowercase());
        }
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, 'V');
    }
    name
}

/// A new word starts after a separator, at a capital after a small letter or digit, and at the last capital of a run
/// that a small letter follows.
fn words(wire: &str) -> Vec<String> {
    let letters: Vec<char> = wire.chars().collect();
    let mut words = vec![String::new()];
    for (at, &letter) in letters.iter().enumerate() {
        if !letter.is_ascii_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| letters.get(at)).copied().unwrap_or('_');
        let after = letters.get(at + 1).copied().unwrap_or('_');
        let starts = letter.is_ascii_uppercase()
            && (before.is_ascii_lowercase()
                || (before.is_ascii_digit() && after.is_ascii_lowercase())
                || (before.is_ascii_uppercase() && after.is_ascii_lowercase()));
        if starts {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(letter);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        for (wire, rust) in [
            ("cluster", "cluster"),
            ("enableECSManagedTags", "enable_ecs_managed_tags"),
            ("type", "r#type"),
            ("sizeInGiB", "size_in_gib"),
            ("ec2InstanceId", "ec2_instance_id"),
            ("s3BucketName", "s3_bucket_name"),
            ("privateIpv4Address", "private_ipv4_address"),
            ("bindIP", "bind_ip"),
            ("managedEBSVolume", "managed_ebs_volume"),
        ] {
            assert_eq!(field(wire), rust);
        }
    }

    #[test]
    fn variants() {
        for (wire, rust) in [
            ("EC2", "Ec2"),
            ("MANAGED_INSTANCES", "ManagedInstances"),
            ("amazon-web-services", "AmazonWebServices"),
            ("distinctInstance", "DistinctInstance"),
            ("fargateFIPSMode", "FargateFipsMode"),
            ("TaskFailedToStart", "TaskFailedToStart"),
            ("X86_64", "X86_64".replace('_', "").as_str()),
            ("1", "V1"),
        ] {
            assert_eq!(variant(wire), rust);
        }
    }
}
