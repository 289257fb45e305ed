use super::Code;

impl Code {
    /// What to do about it, for people. What a problem's own detail says goes before it.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Code::Unrecognised => "Bring the client up to the release of the nodes.",
            Code::UnknownApplication => "Check the name against GET /v1/apps, or install the application.",
            Code::UnknownCommand => "Check the name against the manifest of the version in force: GET /v1/apps/{app}.",
            Code::UnknownCommandVersion => {
                "Send a version of the command that the manifest of the version in force names: GET /v1/apps/{app}."
            }
            Code::ApplicationTrapped => {
                "This is a defect of the application: keep the payload, and bring it to whoever writes the application."
            }
            Code::FuelExhausted => "Ask for less in one command or query, or have the application do less for it.",
            Code::DepthExhausted => {
                "Send a payload that is nested less deeply, or have the application call less deeply."
            }
            Code::ApplicationMisuse => {
                "This is a defect of the application: it wrote, read or emitted what its manifest does not name."
            }
            Code::EffectsTooLarge => "Split the command into several that write and emit less each.",
            Code::MigrationFailed => {
                "The detail names row and shapes: mend the row, or the application's migrate in a further version."
            }
            Code::CastFailed => {
                "The detail names payload and program: send a version that is taken as it is, or mend the program in a further version."
            }
            Code::EntrySkipped => {
                "Look whether it is still wanted, and send it under a new sequence once the nodes run a binary that is mended."
            }
            Code::NotLeader => {
                "Send the request to the node that leader_http names, or leave it to any node to pass on."
            }
            Code::NoLeader => {
                "Repeat it after a pause. If it stays so, see GET /v1/status: a majority of the voters must be up and \
                 reach each other."
            }
            Code::OutcomeUnknown => {
                "Repeat it with the same session and sequence if it carried them; if not, look at the state before you \
                 send it again."
            }
            Code::SessionExpired => "Look at the state, then open a new session (POST /v1/sessions) and go on in that.",
            Code::Overloaded => "Repeat it after a pause, and keep fewer requests in flight.",
            Code::TooLarge => "Send less at once: the detail names the limit.",
            Code::Malformed => "Mend the request: the detail says what is wrong with it, and where.",
            Code::Unavailable => "Send it to another node: GET /v1/members lists them.",
            Code::ReadUnconfirmed => {
                "Read again after a pause, or with consistency=stale if what this node has is good enough."
            }
            Code::VersionUnsupported => "Use a client of the nodes' release, or of one next to it.",
            Code::WrongCluster => "Check the address: the node answers for another cluster than the one meant.",
            Code::Internal => {
                "Please report it with the node's log. Repeat a write only under its session and sequence."
            }
            Code::Timeout => "Read again, or at another node.",
            Code::NotFound => "Check the path against GET /v1/openapi.json.",
            Code::MethodNotAllowed => "Use a method that the header Allow names.",
            Code::UnsupportedMediaType => "Send the body in a content type that the detail names.",
            Code::DiskDamaged => {
                "Nothing, mostly: the node rebuilds its state and streams by itself. If its log is damaged it stops: run \
                 seachange rebuild and start it again."
            }
            Code::DiskFull => {
                "Make room on the node's disk: it takes writes again by itself. Reads are still answered."
            }
            Code::UnknownTable => "Check the name against GET /v1/apps/{app}/tables.",
            Code::UnknownStream => "Check the name against GET /v1/streams: a stream is named APPLICATION.NAME.",
            Code::UnknownQuery => "Check the name against the manifest of the version in force: GET /v1/apps/{app}.",
            Code::UnknownChange => "Check the number against GET /v1/changes; old changes are no longer kept.",
            Code::RowNotFound => "Nothing, if it may be missing; else check the key.",
            Code::UnknownConsumer => "Check the name against GET /v1/consumers: the first commit makes a consumer.",
            Code::ConsumerMoved => "Read where it stands, and commit from there: somebody else reads under its name.",
            Code::ConsumerGoesBack => "Commit forward, or say \"reset\": true if its events are to be read again.",
            Code::TooManyConsumers => {
                "Remove consumers that nobody uses: GET /v1/consumers shows when each was moved last."
            }
            Code::ConsumerInvalid => "Give it a name of a-z, 0-9, - and _, a letter first.",
            Code::OffsetPastEnd => "Name an offset that is not beyond the stream's end: GET /v1/streams shows it.",
            Code::EventsTrimmed => {
                "Go on with the first event that is there, which first_offset names; the ones before are gone for good."
            }
            Code::UnknownSnapshot => "Make one with POST /v1/snapshots, and read its files at the node that made it.",
            Code::CopyUnderWay => "Repeat it once the other copy has ended, or copy off another member.",
            Code::EventVersionUnserved => {
                "Ask for the version in which events are emitted (GET /v1/apps/{app}), or bring a version of the application \
                 whose manifest has a downcast."
            }
            Code::UnknownCopy => "Begin the copy again: POST /v1/copies.",
            Code::EntriesPurged => {
                "Begin the copy again: POST /v1/copies names the snapshots from which the node's log goes on."
            }
            Code::ModuleInvalid => "Mend the module: the detail says what it must not be, hold or import.",
            Code::ModuleDigestMismatch => {
                "Send it again: the bytes changed on the way, or the digest is another file's."
            }
            Code::ModuleIncomplete => "Send the module again (PUT /v1/modules/{sha256}): what came stays an hour.",
            Code::ManifestInvalid => "Mend the manifest: the detail says where it contradicts itself.",
            Code::SkipRefused => "The detail says why; seachange status shows where each node stands.",
            Code::ChangeRefused => "The detail says what stands against it; GET /v1/changes shows what runs.",
        }
    }
}
