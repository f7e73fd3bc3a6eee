//! `trireme agent --image-…`: how an agent gets images, and how they go again.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use trireme_agent::{ImageConfig, PullBehavior};

/// What an agent is told of images. The defaults are those of ECS's agent.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// When a registry is asked for an image that is here.
    #[arg(long, value_enum, value_name = "WHEN", default_value = "default")]
    image_pull_behavior: PullArg,
    /// Docker's configuration folder: the credentials for registries are those of its config.json. Default: $DOCKER_CONFIG, else
    /// ~/.docker.
    #[arg(long, value_name = "DIR")]
    docker_config: Option<PathBuf>,
    /// Images that are pulled at the same time.
    #[arg(long, value_name = "N", default_value_t = 4)]
    image_pulls_at_once: usize,
    /// A pull without progress for so many seconds is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    image_pull_inactivity: u64,
    /// A pull that takes so many seconds is given up.
    #[arg(long, value_name = "SECONDS", default_value_t = 7200)]
    image_pull_limit: u64,
    /// Leave the images that this agent pulled when nobody uses them any more.
    #[arg(long)]
    no_image_cleanup: bool,
    /// Look for unused images every so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    image_cleanup_interval: u64,
    /// Remove images that nobody used for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    image_cleanup_age: u64,
    /// Remove so many at a time.
    #[arg(long, value_name = "N", default_value_t = 5)]
    image_cleanup_at_most: usize,
    /// Remove unused images earlier when less than so much of Docker's disk is free; 0 to never do so.
    #[arg(long, value_name = "PERCENT", default_value_t = 10)]
    image_cleanup_below_free: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PullArg {
    /// For a tag, at most once a minute; the local image is used when that fails. Never for a digest that is here.
    Default,
    /// Each time; when that fails, so does the task.
    Always,
    /// Once for each image; when that fails, so does the task.
    Once,
    /// Never. Then no image is removed.
    PreferCached,
}

impl ImageArgs {
    /// The same for the agent.
    pub fn config(&self) -> ImageConfig {
        ImageConfig {
            pull_behavior: match self.image_pull_behavior {
                PullArg::Default => PullBehavior::Default,
                PullArg::Always => PullBehavior::Always,
                PullArg::Once => PullBehavior::Once,
                PullArg::PreferCached => PullBehavior::PreferCached,
            },
            docker_config: self.docker_config.clone(),
            pulls_at_once: self.image_pulls_at_once,
            pull_inactivity_seconds: self.image_pull_inactivity,
            pull_limit_seconds: self.image_pull_limit,
            cleanup: !self.no_image_cleanup,
            cleanup_interval_seconds: self.image_cleanup_interval,
            cleanup_minimum_age_seconds: self.image_cleanup_age,
            cleanup_at_most: self.image_cleanup_at_most,
            cleanup_below_free_percent: self.image_cleanup_below_free,
        }
    }
}
