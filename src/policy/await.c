/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting in a handler. Only the coroutine that the engine made for the call may be
 * suspended: in one that the policy made, lua_yield would return to the policy's own
 * resume, so there, and wherever Lua cannot yield, the work is done at once and blocks.
 *
 * finish may raise, and then never comes back: the state remembers whose finish is running
 * and frees it when the next one begins or when the coroutine has stopped.
 */
#include "base/clock.h"
#include "base/must.h"
#include "policy/policy_private.h"

static struct jobs *pool;

bool await_suspends(lua_State *L)
{
    const struct policy_thread *thread = thread_of(L);
    struct loop *loop = thread->state->vm->loop;

    return thread->call && !thread->state->closing && lua_isyieldable(L) && loop && loop_current() == loop;
}

static bool is_cancelled(lua_State *L)
{
    const struct policy_call *call = thread_of(L)->call;

    return call && call->cancelled;
}

void await_check_cancelled(lua_State *L)
{
    if (is_cancelled(L))
        luaL_error(L, "the call was cancelled");
}

void await_sweep(struct policy_state *state)
{
    struct await *raised = state->finishing;

    state->finishing = NULL;
    if (raised)
        raised->ops->free(raised);
}

static int push_results(lua_State *L, struct await *await)
{
    struct policy_state *state = thread_of(L)->state;
    int count;

    await_sweep(state);
    state->finishing = await;
    count = await->ops->finish(await, L);
    await_sweep(state);
    return count;
}

static int finish_with(lua_State *L, struct await *await, lua_KFunction then, lua_KContext ctx)
{
    int count = push_results(L, await);

    return then ? then(L, count, ctx) : count;
}

/* The time that blocking work takes is not the policy's. */
static int run_now(lua_State *L, struct await *await, lua_KFunction then, lua_KContext ctx)
{
    struct budget *budget = thread_of(L)->state->budget;
    uint64_t began = clock_mono_ms();

    await->waiter = NULL;
    await->ops->run(await);
    if (budget)
        budget->deadline_ms += clock_mono_ms() - began;
    return finish_with(L, await, then, ctx);
}

static int on_resumed(lua_State *L, int status, lua_KContext ctx)
{
    struct policy_call *call = thread_of(L)->call;
    struct await *await = call->await;

    (void)status;
    (void)ctx;
    MUST(await && await->finished);
    call->await = NULL;
    return finish_with(L, await, call->then, call->then_ctx);
}

int await_then(lua_State *L, struct await *await, lua_KFunction then, lua_KContext ctx)
{
    struct policy_call *call = thread_of(L)->call;

    if (is_cancelled(L)) {
        await->ops->free(await);
        await_check_cancelled(L);
    }
    await->finished = false;
    await->abandoned = false;
    if (!await_suspends(L))
        return run_now(L, await, then, ctx);
    call->await = await;
    call->then = then;
    call->then_ctx = ctx;
    await->waiter = NULL; /* finished at once: there is nothing to resume */
    await->ops->start(await, call->thread.state->vm->loop);
    if (await->finished) {
        call->await = NULL;
        return finish_with(L, await, then, ctx);
    }
    await->waiter = call;
    return lua_yieldk(L, 0, 0, on_resumed);
}

int await(lua_State *L, struct await *await) { return await_then(L, await, NULL, 0); }

void await_finish(struct await *await)
{
    struct policy_call *call = await->waiter;

    MUST(!await->finished);
    await->finished = true;
    if (await->abandoned)
        await->ops->free(await);
    else if (call)
        call_resume(call);
}

void await_abandon(struct policy_call *call)
{
    struct await *await = call->await;

    call->await = NULL;
    await->abandoned = true;
    if (await->finished)
        await->ops->free(await);
    else if (await->ops->cancel)
        await->ops->cancel(await);
}

/* ---- functions that block ---- */

static struct await_job *job_of(struct await *await) { return CONTAINER_OF(await, struct await_job, await); }

static void job_run(struct job *job)
{
    struct await_job *await_job = CONTAINER_OF(job, struct await_job, job);

    await_job->work(await_job);
}

static void job_done(struct job *job)
{
    struct await_job *await_job = CONTAINER_OF(job, struct await_job, job);

    if (job->expired)
        error_set(&await_job->error, ERROR_AGAIN, "it waited too long for a thread that does such work");
    await_finish(&await_job->await);
}

static void job_start(struct await *await, struct loop *loop)
{
    struct await_job *job = job_of(await);

    (void)loop;
    job->job.run = job_run;
    job->job.done = job_done;
    if (jobs_submit(job->pool ? job->pool : pool, &job->job, &job->error) < 0)
        await_finish(await);
}

static void job_run_now(struct await *await) { job_of(await)->work(job_of(await)); }

static int job_finish(struct await *await, lua_State *L)
{
    struct await_job *job = job_of(await);

    if (job->error.kind != ERROR_NONE)
        return luaL_error(L, "%s", job->error.sentence);
    return job->push(job, L);
}

static void job_free(struct await *await) { job_of(await)->free(job_of(await)); }

static const struct await_ops job_ops = {
    .start = job_start, .run = job_run_now, .finish = job_finish, .free = job_free};

void await_set_jobs(struct jobs *jobs) { pool = jobs; }

int await_job(lua_State *L, struct await_job *job)
{
    MUST(pool != NULL || job->pool != NULL || !await_suspends(L));
    job->await = (struct await){.ops = &job_ops};
    return await(L, &job->await);
}
