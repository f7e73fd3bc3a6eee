//! Objects of S3 by their ARN, as members of task definitions name them. The agent reads them from a folder of its machine.

/// The longest key (Amazon S3: object keys), in bytes.
const KEY_LIMIT: usize = 1024;
/// The longest name of a bucket.
const BUCKET_LIMIT: usize = 63;

/// Bucket and key of `arn:aws:s3:::bucket/key`. `None` for anything that is no object's, or whose key does not stay below its
/// bucket when it is a path.
pub fn object_of(arn: &str) -> Option<(&str, &str)> {
    let rest = arn.strip_prefix("arn:")?;
    let (partition, rest) = rest.split_once(':')?;
    let (bucket, key) = rest.strip_prefix("s3:::")?.split_once('/')?;
    let in_bucket = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let named = !bucket.is_empty() && bucket.len() <= BUCKET_LIMIT && bucket.chars().all(in_bucket);
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']);
    let below = key.len() <= KEY_LIMIT && key.split('/').all(plain);
    (partition.starts_with("aws") && named && plain(bucket) && below).then_some((bucket, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_stays_below_its_bucket() {
        assert_eq!(object_of("arn:aws:s3:::bucket/a/b.env"), Some(("bucket", "a/b.env")));
        assert_eq!(object_of("arn:aws-cn:s3:::b/k"), Some(("b", "k")));
        for wrong in [
            "",
            "bucket/key",
            "arn:aws:s3:::bucket",
            "arn:aws:s3:::bucket/",
            "arn:aws:s3:::/key",
            "arn:aws:s3:::../key",
            "arn:aws:s3:::b/../key",
            "arn:aws:s3:::b/a/../../k",
            "arn:aws:s3:::b//etc",
            "arn:aws:s3:::b/a\0",
            "arn:aws:s3:::a b/c",
            "arn:aws:ssm:::b/k",
        ] {
            assert_eq!(object_of(wrong), None, "{wrong}");
        }
    }
}
