//! ecs-model
