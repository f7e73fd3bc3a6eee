//! The tables of operations and errors.

use std::collections::BTreeSet;

use trireme_ecs_model::shapes::{CreateGatewayRequest, RunTaskRequest, RunTaskResponse};
use trireme_ecs_model::{ErrorCode, Operation, Pagination, Request, SHAPE_COUNT, Shape};

#[test]
fn counts() {
    assert_eq!(Operation::ALL.len(), 88);
    assert_eq!(ErrorCode::ALL.len(), 31);
    assert_eq!(SHAPE_COUNT, 743);
    let pages = Operation::ALL.iter().filter(|operation| operation.pagination().is_some()).count();
    assert_eq!(pages, 12);
}

#[test]
fn operations_are_found_by_target() {
    for operation in Operation::ALL {
        let target = format!("AmazonEC2ContainerServiceV20141113.{}", operation.name());
        assert_eq!(Operation::from_target(&target), Some(*operation));
    }
    for wrong in [
        "",
        "RunTask",
        "Other.RunTask",
        "AmazonEC2ContainerServiceV20141113.",
        "AmazonEC2ContainerServiceV20141113.Run",
    ] {
        assert_eq!(Operation::from_target(wrong), None, "{wrong}");
    }
}

#[test]
fn requests_know_their_operation_and_response() {
    fn pair<R: Request>() -> (Operation, &'static str, &'static str) {
        (R::OPERATION, R::NAME, R::Response::NAME)
    }
    assert_eq!(pair::<RunTaskRequest>(), (Operation::RunTask, RunTaskRequest::NAME, RunTaskResponse::NAME));
    assert_eq!(pair::<CreateGatewayRequest>().0, Operation::CreateGateway);
    assert_eq!(Operation::RunTask.input_shape(), "RunTaskRequest");
    assert_eq!(Operation::RunTask.output_shape(), "RunTaskResponse");
}

#[test]
fn tokens_and_pages() {
    let with_token: Vec<&str> = Operation::ALL
        .iter()
        .filter(|o| o.idempotency_token() == Some("clientToken"))
        .map(|o| o.name())
        .collect();
    assert_eq!(with_token, ["CreateGateway", "RunTask"]);
    let page = Pagination { token: "nextToken", limit: "maxResults", result: "clusterArns" };
    assert_eq!(Operation::ListClusters.pagination(), Some(page));
}

#[test]
fn every_operation_declares_the_four_common_errors() {
    for operation in Operation::ALL {
        for code in
            [ErrorCode::AccessDenied, ErrorCode::Server, ErrorCode::InvalidParameter, ErrorCode::Client]
        {
            assert!(operation.errors().contains(&code), "{operation} lacks {code}");
        }
    }
}

#[test]
fn only_the_servers_own_failure_is_a_fault() {
    for code in ErrorCode::ALL {
        assert_eq!(code.is_fault(), *code == ErrorCode::Server);
        assert_eq!(code.status(), if code.is_fault() { 500 } else { 400 });
        assert_eq!(ErrorCode::from_name(code.name()), Some(*code));
    }
    assert_eq!(ErrorCode::ClusterNotFound.name(), "ClusterNotFoundException");
    assert_eq!(ErrorCode::from_name("Nothing"), None);
    assert_eq!(ErrorCode::ALL.iter().map(|code| code.name()).collect::<BTreeSet<_>>().len(), 31);
}
