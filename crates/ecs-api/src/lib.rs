//! ecs-api
