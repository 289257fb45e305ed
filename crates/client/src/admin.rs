use bytes::Bytes;
use environment::Environment;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::feeds::{ChangeWatch, Events, Watch};
use crate::http::{Http, HttpRequest, Repeat, escape, query_string};
use crate::wire::{
    ApplicationInfo, ApplicationList, ApplicationPurged, ApplicationRemoved, ChangeList, ChangeRecord, CommandReply,
    CommitRequest, Consistency, ConsumerCommitted, ConsumerList, ConsumerPinned, ConsumerRecord, ConsumerRemoved,
    ConversionRequest, ConversionSteered, CopyRecord, DryRun, ErrorInfo, Health, MemberList, ModuleStored, PinRequest,
    PlanRequest, Planned, QueryReply, RemovalRequest, RowAnswer, Rows, RowsParameters, SkipDecided, SkipRequest,
    SkippedList, SnapshotRecord, Status, StepRequest, StepTaken, StreamList, StreamTrimmed, TRACE_HEADER, TableList,
    Trace, TraceList, TrimRequest, UsageList, VerifyRecord,
};
use crate::{Error, Options};

/// The operator's calls and all reads, over HTTP. Cloning shares what it knows of the addresses.
#[derive(Debug, Clone)]
pub struct Admin {
    http: Http,
}

impl Admin {
    /// For the cluster at those addresses. Connects for each call.
    ///
    /// # Errors
    /// [`Error::Invalid`], as [`Options::check`].
    pub fn new(environment: Environment, options: Options) -> Result<Admin, Error> {
        Ok(Admin {
            http: Http::new(environment, options)?,
        })
    }

    /// The same calls to that one node only.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is no address.
    pub fn at(&self, address: impl Into<String>) -> Result<Admin, Error> {
        Ok(Admin {
            http: self.http.at(address)?,
        })
    }

    /// What carries the calls.
    #[must_use]
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// A node's view of itself and its cluster. The members it names are asked too from then on.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn status(&self) -> Result<Status, Error> {
        let status: Status = self.http.get_json("/v1/status").await?;
        let members: Vec<String> = status
            .members
            .iter()
            .map(|member| member.http_address.clone())
            .collect();
        self.http.learn(&members);
        Ok(status)
    }

    /// Whether a node is ready to serve.
    ///
    /// # Errors
    /// As [`Http::send`]; one that is not ready answers with a problem.
    pub async fn ready(&self) -> Result<Health, Error> {
        self.http.get_json("/readyz").await
    }

    /// Makes a snapshot at a node, or gives one that is new enough; with the node's address. May take long.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn snapshot(&self) -> Result<(String, SnapshotRecord), Error> {
        let response = self
            .http
            .send(&HttpRequest::post("/v1/snapshots", Bytes::new()))
            .await?;
        let address = response.address.clone();
        Ok((address, response.json()?))
    }

    /// Bytes of a file of a snapshot from `from` on; none at its end.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn snapshot_piece(&self, index: u64, file: &str, from: u64) -> Result<Bytes, Error> {
        let path = format!("/v1/snapshots/{index}/files/{}?from={from}", escape(file));
        Ok(self.http.send(&HttpRequest::get(path)).await?.body)
    }

    /// Begins a copy of what the first node of those named has to be replayed elsewhere. There is one at a time.
    ///
    /// # Errors
    /// As [`Http::send_once`].
    pub async fn begin_copy(&self) -> Result<CopyRecord, Error> {
        let request = HttpRequest::post("/v1/copies", Bytes::new());
        self.http.send_once(&request).await?.json()
    }

    /// Bytes of a snapshot from `from` on, for a copy; none at its end.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn copy_snapshot(&self, copy: &str, index: u64, from: u64) -> Result<Bytes, Error> {
        let path = format!("/v1/copies/{}/snapshots/{index}?from={from}", escape(copy));
        Ok(self.http.send(&HttpRequest::get(path)).await?.body)
    }

    /// Entries of a node's log from `from` on, for a copy, in the log's own frames; none at its end.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn copy_entries(&self, copy: &str, from: u64) -> Result<Bytes, Error> {
        let path = format!("/v1/copies/{}/log?from={from}", escape(copy));
        Ok(self.http.send(&HttpRequest::get(path)).await?.body)
    }

    /// Ends a copy, so that another may begin.
    ///
    /// # Errors
    /// As [`Http::send_once`].
    pub async fn end_copy(&self, copy: &str) -> Result<(), Error> {
        let request = HttpRequest::delete(format!("/v1/copies/{}", escape(copy)));
        self.http.send_once(&request).await.map(drop)
    }

    /// Makes the first node of those named read and check everything on its disk. May take long, and is not repeated: one
    /// that finds damage starts again.
    ///
    /// # Errors
    /// As [`Http::send_once`].
    pub async fn verify(&self) -> Result<VerifyRecord, Error> {
        self.http
            .send(&HttpRequest::post("/v1/verify", Bytes::new()))
            .await?
            .json()
    }

    /// All applications.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn apps(&self) -> Result<ApplicationList, Error> {
        self.http.get_json("/v1/apps").await
    }

    /// One application.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn app(&self, name: &str) -> Result<ApplicationInfo, Error> {
        self.http.get_json(&format!("/v1/apps/{}", escape(name))).await
    }

    /// What clients have sent to an application, by command and version.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn usage(&self, name: &str) -> Result<UsageList, Error> {
        self.http.get_json(&format!("/v1/apps/{}/usage", escape(name))).await
    }

    /// The tables of an application's version in force.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn tables(&self, application: &str) -> Result<TableList, Error> {
        let path = format!("/v1/apps/{}/tables", escape(application));
        self.http.get_json(&path).await
    }

    /// The members as a node sees them.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn members(&self) -> Result<MemberList, Error> {
        self.http.get_json("/v1/members").await
    }

    /// Has every node pass by an entry at which the program fails.
    ///
    /// # Errors
    /// As [`Http::send`]; `skip_refused` where the leader does not stand before it for that reason.
    pub async fn skip_entry(&self, entry: u64, reason: Option<String>) -> Result<SkipDecided, Error> {
        let body = SkipRequest { reason };
        self.http.post_json(&format!("/v1/entries/{entry}/skip"), &body).await
    }

    /// The entries that were skipped.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn skipped_entries(&self) -> Result<SkippedList, Error> {
        self.http.get_json("/v1/entries/skipped").await
    }

    /// What an error code means, as the node has it.
    ///
    /// # Errors
    /// As [`Http::send`]; a code that is not there is a problem of code `not_found`.
    pub async fn error(&self, code: &str) -> Result<ErrorInfo, Error> {
        self.http.get_json(&format!("/v1/errors/{}", escape(code))).await
    }

    /// Status, changes and applications as they are, and each again whenever it changes. Connects with the first call
    /// of [`Watch::next`], and again elsewhere when a connection breaks.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch::new(self.http.clone())
    }

    /// Brings a module into the log.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn upload_module(&self, module: impl Into<Bytes>) -> Result<ModuleStored, Error> {
        let module = module.into();
        let digest: String = Sha256::digest(&module)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.http.put_bytes(&format!("/v1/modules/{digest}"), module).await
    }

    /// Sends one command over HTTP and gives, with the reply, the stages of its way. It belongs to no session: it is not
    /// sent again once it may have been applied.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn submit_traced(
        &self,
        application: &str,
        command: &str,
        version: u16,
        payload: impl Into<Bytes>,
    ) -> Result<(CommandReply, Option<Trace>), Error> {
        let (application, command) = (escape(application), escape(command));
        let path = format!("/v1/apps/{application}/commands/{command}?version={version}");
        let request = HttpRequest::post(path, payload)
            .header("content-type", "application/json")
            .header(TRACE_HEADER, "1");
        let response = self.http.send(&request).await?;
        let trace = response.headers.get(TRACE_HEADER);
        let trace = trace.and_then(|value| serde_json::from_slice(value.as_bytes()).ok());
        Ok((response.json()?, trace))
    }

    /// Commands that a node has answered lately, with the stages of their ways.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn traces(&self) -> Result<TraceList, Error> {
        self.http.get_json("/v1/traces").await
    }

    /// What a node counts and times of itself, in Prometheus' text format.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn metrics(&self) -> Result<String, Error> {
        let response = self.http.send(&HttpRequest::get("/metrics")).await?;
        Ok(String::from_utf8_lossy(&response.body).into_owned())
    }

    /// Plans a change.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn plan_change(&self, plan: &PlanRequest) -> Result<Planned, Error> {
        self.http.post_json("/v1/changes", plan).await
    }

    /// Pauses or resumes the conversion of an application's rows, or sets its pace.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn steer_conversion(&self, app: &str, asked: &ConversionRequest) -> Result<ConversionSteered, Error> {
        let path = format!("/v1/apps/{}/conversion", escape(app));
        self.http.post_json(&path, asked).await
    }

    /// Takes an application out of service; its data stays.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn remove_app(&self, app: &str, reason: Option<String>) -> Result<ApplicationRemoved, Error> {
        let path = format!("/v1/apps/{}/remove", escape(app));
        self.http.post_json(&path, &RemovalRequest { reason }).await
    }

    /// Deletes some of a removed application's rows, and with the last of them the application.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn purge_app(&self, app: &str) -> Result<ApplicationPurged, Error> {
        let path = format!("/v1/apps/{}/purge", escape(app));
        self.http.send(&HttpRequest::post(path, Vec::new())).await?.json()
    }

    /// Says what a plan would come to, and writes nothing.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn dry_run(&self, plan: &PlanRequest) -> Result<DryRun, Error> {
        self.http.post_json("/v1/changes/dry-run", plan).await
    }

    /// All changes.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn changes(&self) -> Result<ChangeList, Error> {
        self.http.get_json("/v1/changes").await
    }

    /// One change.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn change(&self, id: u64) -> Result<ChangeRecord, Error> {
        self.http.get_json(&format!("/v1/changes/{id}")).await
    }

    /// The record of a change, each time it changes, until it is final. Connects with the first call of
    /// [`ChangeWatch::next`], and again elsewhere when a connection breaks.
    #[must_use]
    pub fn watch_change(&self, id: u64) -> ChangeWatch {
        ChangeWatch::new(self.http.clone(), id)
    }

    /// Takes a change back.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn revert(&self, id: u64, reason: Option<String>) -> Result<StepTaken, Error> {
        self.step(id, "revert", reason).await
    }

    /// Makes a change final.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn finalize(&self, id: u64, reason: Option<String>) -> Result<StepTaken, Error> {
        self.step(id, "finalize", reason).await
    }

    /// Lets a change stay switched beyond its deadline.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn confirm(&self, id: u64, reason: Option<String>) -> Result<StepTaken, Error> {
        self.step(id, "confirm", reason).await
    }

    /// Says that what a change's rehearsal found is as it should be.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn approve(&self, id: u64, reason: Option<String>) -> Result<StepTaken, Error> {
        self.step(id, "approve", reason).await
    }

    /// Gives a change up before its switch.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn abort(&self, id: u64, reason: Option<String>) -> Result<StepTaken, Error> {
        self.step(id, "abort", reason).await
    }

    async fn step(&self, id: u64, step: &str, reason: Option<String>) -> Result<StepTaken, Error> {
        self.http
            .post_json(&format!("/v1/changes/{id}/{step}"), &StepRequest { reason })
            .await
    }

    /// One row.
    ///
    /// # Errors
    /// As [`Http::send`]; a row that is not there is a problem of code `row_not_found`.
    pub async fn get_row(
        &self,
        application: &str,
        table: &str,
        key: impl AsRef<[u8]>,
        consistency: Consistency,
    ) -> Result<RowAnswer, Error> {
        let query = query_string(&[("consistency", Some(consistency.to_string()))]);
        let (application, table, key) = (escape(application), escape(table), escape(key));
        self.http
            .get_json(&format!("/v1/apps/{application}/tables/{table}/rows/{key}{query}"))
            .await
    }

    /// Rows in order of key.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn scan_rows(&self, application: &str, table: &str, parameters: &RowsParameters) -> Result<Rows, Error> {
        let query = query_string(&[
            ("prefix", parameters.prefix.clone()),
            ("start", parameters.start.clone()),
            ("end", parameters.end.clone()),
            ("limit", parameters.limit.map(|limit| limit.to_string())),
            ("reverse", parameters.reverse.then(|| "true".to_owned())),
            ("cursor", parameters.cursor.clone()),
            ("consistency", Some(parameters.consistency.to_string())),
        ]);
        let (application, table) = (escape(application), escape(table));
        self.http
            .get_json(&format!("/v1/apps/{application}/tables/{table}/rows{query}"))
            .await
    }

    /// Asks an application's query.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn query(
        &self,
        application: &str,
        query: &str,
        payload: impl Into<Bytes>,
        consistency: Consistency,
    ) -> Result<QueryReply, Error> {
        let parameters = query_string(&[("consistency", Some(consistency.to_string()))]);
        let path = format!("/v1/apps/{}/queries/{}{parameters}", escape(application), escape(query));
        self.http
            .send(&HttpRequest::post(path, payload).repeat(Repeat::Freely))
            .await?
            .json()
    }

    /// Events of a stream from an offset on; with `follow`, new ones as they come. Connects with the first call of
    /// [`Events::next`], and again elsewhere, where it stopped, when a connection breaks.
    #[must_use]
    pub fn events(&self, stream: &str, from: u64, follow: bool) -> Events {
        Events::new(self.http.clone(), stream, Some(from), follow)
    }

    /// Events of a stream as [`Admin::events`], from the first one that it holds.
    #[must_use]
    pub fn events_from_start(&self, stream: &str, follow: bool) -> Events {
        Events::new(self.http.clone(), stream, None, follow)
    }

    /// All streams.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn streams(&self) -> Result<StreamList, Error> {
        self.http.get_json("/v1/streams").await
    }

    /// Lets go of the events of a stream before an offset, for good. Done twice is the same as done once.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn trim_stream(&self, stream: &str, before: u64) -> Result<StreamTrimmed, Error> {
        let body = serde_json::to_vec(&TrimRequest { before }).map_err(|error| Error::Invalid(error.to_string()))?;
        let request = HttpRequest::post(format!("/v1/streams/{}/trim", escape(stream)), body)
            .header("content-type", "application/json")
            .repeat(Repeat::Freely);
        self.http.send(&request).await?.json()
    }

    /// All named consumers.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn consumers(&self) -> Result<ConsumerList, Error> {
        self.http.get_json("/v1/consumers").await
    }

    /// One consumer of a stream.
    ///
    /// # Errors
    /// As [`Http::send`]; one that is not there is a problem of code `unknown_consumer`.
    pub async fn consumer(&self, stream: &str, name: &str) -> Result<ConsumerRecord, Error> {
        self.http.get_json(&consumer_path(stream, name)).await
    }

    /// Moves a consumer, or makes it.
    ///
    /// # Errors
    /// As [`Http::send`]. A reset that expects nothing is not repeated by itself: it could undo what came between.
    pub async fn commit_consumer(
        &self,
        stream: &str,
        name: &str,
        commit: &CommitRequest,
    ) -> Result<ConsumerCommitted, Error> {
        let repeat = match commit.reset && commit.expected.is_none() {
            true => Repeat::IfNotDone,
            false => Repeat::Freely,
        };
        self.put_json(consumer_path(stream, name), commit, repeat).await
    }

    async fn put_json<T: DeserializeOwned>(
        &self,
        path: String,
        body: &impl Serialize,
        repeat: Repeat,
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Invalid(error.to_string()))?;
        let request = HttpRequest::put(path, body)
            .header("content-type", "application/json")
            .repeat(repeat);
        self.http.send(&request).await?.json()
    }

    /// Pins a consumer to a version of its stream's events; none: it gets them as they were emitted.
    ///
    /// # Errors
    /// As [`Http::send`]; a version that its events cannot be brought into is a problem of code `event_version_unserved`.
    pub async fn pin_consumer(
        &self,
        stream: &str,
        name: &str,
        event_version: Option<u16>,
    ) -> Result<ConsumerPinned, Error> {
        let path = format!("{}/event-version", consumer_path(stream, name));
        self.put_json(path, &PinRequest { event_version }, Repeat::Freely).await
    }

    /// Forgets a consumer.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn remove_consumer(&self, stream: &str, name: &str) -> Result<ConsumerRemoved, Error> {
        let request = HttpRequest::delete(consumer_path(stream, name));
        self.http.send(&request).await?.json()
    }
}

fn consumer_path(stream: &str, name: &str) -> String {
    format!("/v1/streams/{}/consumers/{}", escape(stream), escape(name))
}
