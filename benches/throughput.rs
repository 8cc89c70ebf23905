//! How many commands a second the server decides, beside a server by hand.
//!
//! The real server and one made by hand (see `common/by_hand.rs`), each in this process and on its
//! own threads and disk file, are driven in turn by the same load generator: devices that ring
//! somebody who is away and take it back, each with a number of commands waiting for their verdicts.
//! A verdict comes after a commit that is synced to the disk, in both.
//!
//! Aim: above 0.7 of the server by hand.

mod common;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use common::by_hand::ByHand;
use common::load::{self, Load};
use common::{RUNS, commits, median, wire};
use offhook::server::auth::Auth;
use offhook::server::push::LogSink;
use offhook::server::settings::Settings;
use offhook::server::{Server, ServerConfig};
use rustls::pki_types::CertificateDer;
use tokio::runtime::{Builder, Runtime};

/// Devices, commands of each in a run (a user may send 400 at once), and how many of them wait for
/// their verdicts at a time.
const LOADS: [(u64, u64, u64); 6] = [
    (1, 400, 1),
    (8, 300, 1),
    (64, 100, 1),
    (1, 400, 16),
    (8, 400, 16),
    (64, 160, 16),
];

/// A server that is measured.
struct Side {
    address: SocketAddr,
    certificate: CertificateDer<'static>,
    database: PathBuf,
}

/// What one run came to.
struct Figures {
    commands_per_second: f64,
    batch: f64,
    p50: f64,
    p99: f64,
}

fn main() {
    if !common::is_asked_for() {
        return;
    }
    common::announce("commands decided a second: the server beside one by hand");
    let folder = common::folder();
    let server = start(&folder.path().join("server"));
    let real = Side {
        address: server.local_addr(),
        certificate: wire::certificate_in(server.certificate_pem_path()),
        database: folder.path().join("server/server.db"),
    };
    let by_hand = ByHand::start(folder.path());
    let raw = Side {
        address: by_hand.address,
        certificate: by_hand.certificate.clone(),
        database: by_hand.database.clone(),
    };
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    println!(
        "                        server                              by hand\n\
         devices  in flight   /s     batch   p50 µs   p99 µs      /s     batch     ratio"
    );
    for (n, load) in LOADS.into_iter().enumerate() {
        measure(&runtime, n, load, &real, &raw);
    }
    println!(
        "\naim: ratio above 0.7. batch: commands that share a commit; p50, p99: of a verdict."
    );
    server.stop().expect("a server that stops");
}

fn start(data_dir: &Path) -> Server {
    Server::start(ServerConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        data_dir: data_dir.to_owned(),
        auth: Auth::TrustNames,
        cert: None,
        key: None,
        settings: Settings::default(),
        push: Box::new(LogSink),
    })
    .expect("a server")
}

fn measure(runtime: &Runtime, n: usize, load: (u64, u64, u64), real: &Side, raw: &Side) {
    let (devices, _, in_flight) = load;
    let mut runs = Vec::new();
    for run in 0..RUNS {
        let names = format!("u{n}{run}");
        // Whoever comes first has the disk in another state: take turns.
        let (first, second) = if run % 2 == 0 {
            (real, raw)
        } else {
            (raw, real)
        };
        let first = drive(runtime, first, &names, load);
        let second = drive(runtime, second, &names, load);
        runs.push(if run % 2 == 0 {
            (first, second)
        } else {
            (second, first)
        });
    }
    let of = |figure: &dyn Fn(&(Figures, Figures)) -> f64| median(runs.iter().map(figure));
    println!(
        "{devices:7} {in_flight:10} {:6.0} {:7.1} {:8.0} {:8.0}  {:8.0} {:7.1} {:9.2}",
        of(&|(real, _)| real.commands_per_second),
        of(&|(real, _)| real.batch),
        of(&|(real, _)| real.p50),
        of(&|(real, _)| real.p99),
        of(&|(_, raw)| raw.commands_per_second),
        of(&|(_, raw)| raw.batch),
        of(&|(real, raw)| real.commands_per_second / raw.commands_per_second),
    );
}

fn drive(runtime: &Runtime, side: &Side, names: &str, load: (u64, u64, u64)) -> Figures {
    let (devices, commands, in_flight) = load;
    let mut counted = 0;
    let Load {
        commands_per_second,
        times,
    } = runtime.block_on(load::ring_and_cancel(
        side.address,
        &side.certificate,
        names,
        devices,
        commands,
        in_flight,
        || counted = commits(&side.database),
    ));
    let commits = commits(&side.database) - counted;
    Figures {
        commands_per_second,
        batch: (devices * commands) as f64 / f64::from(commits),
        p50: times.at(0.5),
        p99: times.at(0.99),
    }
}
