// AWS's SDK for JavaScript, unchanged, through one story: cluster, definition, service, scale, update, stop, tags, pages, errors by
// type, delete. It finds the cluster by the environment, and ends with an error at the first thing that is not as ECS has it.

import assert from "node:assert/strict";
import {
  ClusterNotFoundException,
  ClientException,
  CreateClusterCommand,
  CreateServiceCommand,
  DeleteClusterCommand,
  DeleteServiceCommand,
  DescribeServicesCommand,
  DescribeTaskDefinitionCommand,
  DescribeTasksCommand,
  ECSClient,
  InvalidParameterException,
  ListServicesCommand,
  ListTagsForResourceCommand,
  ListTasksCommand,
  RegisterTaskDefinitionCommand,
  RunTaskCommand,
  ServiceNotFoundException,
  StopTaskCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateServiceCommand,
  paginateListTasks,
  waitUntilServicesInactive,
  waitUntilServicesStable,
  waitUntilTasksRunning,
  waitUntilTasksStopped,
} from "@aws-sdk/client-ecs";

const NAME = "node";
const client = new ECSClient({ maxAttempts: 3 });
const send = (command) => client.send(command);
const waiting = { client, maxWaitTime: 90, minDelay: 1, maxDelay: 2 };

const steps = {
  async "a cluster"() {
    const made = await send(new CreateClusterCommand({ clusterName: NAME, tags: [{ key: "team", value: "a" }] }));
    assert.equal(made.cluster.status, "ACTIVE");
    assert.deepEqual(made.cluster.tags, [{ key: "team", value: "a" }]);
    assert.match(made.$metadata.requestId, /^[0-9a-f-]{36}$/);
  },

  async "a task definition"() {
    const { taskDefinition } = await register();
    assert.equal(taskDefinition.revision, 1);
    assert.equal(taskDefinition.containerDefinitions[0].essential, true);
    assert.ok(taskDefinition.registeredAt instanceof Date);
  },

  // The development cluster's instances are in its default cluster: there a service finds places.
  async "a service that gets stable, and is scaled"() {
    const create = { serviceName: NAME, taskDefinition: NAME, desiredCount: 1 };
    const { service } = await send(new CreateServiceCommand({ ...create, clientToken: "node-1" }));
    assert.equal(service.deployments.length, 1);
    const again = await send(new CreateServiceCommand({ ...create, clientToken: "node-1" }));
    assert.equal(again.service.serviceArn, service.serviceArn);
    await waitUntilServicesStable(waiting, { services: [NAME] });
    await send(new UpdateServiceCommand({ service: NAME, desiredCount: 3 }));
    await waitUntilServicesStable(waiting, { services: [NAME] });
    const described = await send(new DescribeServicesCommand({ services: [NAME] }));
    assert.deepEqual([described.services[0].runningCount, described.failures], [3, []]);
  },

  async "pages of its tasks"() {
    const arns = [];
    let pages = 0;
    for await (const page of paginateListTasks({ client, pageSize: 1 }, { serviceName: NAME })) {
      arns.push(...page.taskArns);
      pages += 1;
    }
    assert.ok(pages >= 3, `${pages} pages`);
    assert.equal(new Set(arns).size, 3);
    const { tasks } = await send(new DescribeTasksCommand({ tasks: arns }));
    assert.deepEqual(new Set(tasks.map((task) => task.lastStatus)), new Set(["RUNNING"]));
  },

  async "an update"() {
    const { taskDefinition } = await register();
    await send(new UpdateServiceCommand({ service: NAME, taskDefinition: taskDefinition.taskDefinitionArn }));
    await waitUntilServicesStable(waiting, { services: [NAME] });
    const { taskArns } = await send(new ListTasksCommand({ serviceName: NAME }));
    const { tasks } = await send(new DescribeTasksCommand({ tasks: taskArns }));
    assert.deepEqual(new Set(tasks.map((task) => task.taskDefinitionArn)), new Set([taskDefinition.taskDefinitionArn]));
  },

  async "a task that is run and stopped"() {
    const { tasks, failures } = await send(new RunTaskCommand({ taskDefinition: NAME, count: 1 }));
    assert.deepEqual(failures, []);
    const task = tasks[0].taskArn;
    await waitUntilTasksRunning(waiting, { tasks: [task] });
    const stopped = await send(new StopTaskCommand({ task, reason: "by hand" }));
    assert.deepEqual([stopped.task.desiredStatus, stopped.task.stoppedReason], ["STOPPED", "by hand"]);
    await waitUntilTasksStopped(waiting, { tasks: [task] });
  },

  async tags() {
    const { services } = await send(new DescribeServicesCommand({ services: [NAME] }));
    const resourceArn = services[0].serviceArn;
    await send(new TagResourceCommand({ resourceArn, tags: [{ key: "stage", value: "prod" }] }));
    const listed = await send(new ListTagsForResourceCommand({ resourceArn }));
    assert.deepEqual(listed.tags, [{ key: "stage", value: "prod" }]);
    await send(new UntagResourceCommand({ resourceArn, tagKeys: ["stage"] }));
    assert.deepEqual((await send(new ListTagsForResourceCommand({ resourceArn }))).tags, []);
  },

  async "errors by type"() {
    const cases = [
      [new ListServicesCommand({ cluster: "nope" }), ClusterNotFoundException, "Cluster not found."],
      [new UpdateServiceCommand({ service: "nope" }), ServiceNotFoundException, "Service not found."],
      [new DescribeTaskDefinitionCommand({ taskDefinition: "nope" }), ClientException, "Unable to describe task definition."],
      [new StopTaskCommand({ task: "0".repeat(32) }), InvalidParameterException, "The referenced task was not found."],
    ];
    for (const [command, type, message] of cases) {
      await assert.rejects(send(command), (error) => {
        assert.ok(error instanceof type, `${error}`);
        assert.equal(error.message, message);
        assert.equal(error.$metadata.httpStatusCode, 400);
        return true;
      });
    }
  },

  async "the end"() {
    const { service } = await send(new DeleteServiceCommand({ service: NAME, force: true }));
    assert.equal(service.status, "DRAINING");
    await waitUntilServicesInactive(waiting, { services: [NAME] });
    const { cluster } = await send(new DeleteClusterCommand({ cluster: NAME }));
    assert.equal(cluster.status, "INACTIVE");
  },
};

function register() {
  const container = { name: "app", image: "busybox", memory: 16, portMappings: [{ containerPort: 80 }] };
  return send(new RegisterTaskDefinitionCommand({ family: NAME, containerDefinitions: [container] }));
}

for (const [name, step] of Object.entries(steps)) {
  console.log(name);
  await step();
}
