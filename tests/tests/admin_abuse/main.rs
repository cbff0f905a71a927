//! The exposed port of the admin plane under abuse: a real process, TLS with clients' certificates, and floods from this machine, each bounded
//! in number, while a good client calls it.
//!
//! The figures of every flood are printed. What must hold on any machine is asserted always: the good client is served, memory stays
//! within its bound, all is as before afterwards, nothing panics. The times are asserted in the nightly run alone, which also floods in full number.

mod control;
mod flood;
mod frames;
mod good;
mod port;
mod socket;

use std::time::Duration;

use futures_util::future::join_all;

use flood::{Figures, Flood, under};
use frames::{Frames, block_of, data, frame, headers, kind};
use port::{Attackers, Port};

/// The nightly run floods in full number; others in a tenth, where number costs time.
const FULL: bool = cfg!(feature = "nightly");

/// Peers that the server lets introduce themselves at a time, connections that it keeps, and those that may be on their way out.
const HANDSHAKES: usize = 256;
const CONNECTIONS: usize = 512;
const LEAVING: usize = HANDSHAKES;

/// Lists and the like that one principal may have under way and waiting.
const LOOKS_OF_EACH: usize = 32;

const fn scaled(full: usize) -> usize {
    if FULL { full } else { full / 10 }
}

fn show(figures: &Figures) {
    println!("{figures}");
    if FULL {
        figures.keep_the_promise();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_silent_handshakes_do_not_keep_a_good_client_out() {
    for &attackers in Attackers::below_the_calls() {
        let figures = under("2,000 silent handshakes", attackers, async |port: &Port| {
            let (mut silent, mut first_words) = (Vec::new(), Vec::new());
            for at in 0..2_000 {
                let mut peer = port.plain().await;
                // Half of them begin to speak TLS, and stop.
                if at % 2 == 0 {
                    port::say(&mut peer, &[22, 3, 1, 0, 200]).await;
                    first_words.push(peer);
                } else {
                    silent.push(peer);
                }
            }
            let peers: Vec<_> = silent.into_iter().chain(first_words).map(port::Held::of).collect();
            port::until_at_most(HANDSHAKES, &peers, "peers that say nothing").await;
            tokio::time::sleep(port.flood_for()).await;
        })
        .await;
        show(&figures);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_make_room_for_a_good_client() {
    let number = scaled(5_000).max(2 * CONNECTIONS);
    for &attackers in Attackers::below_the_calls() {
        let figures = under(&format!("{number} idle connections"), attackers, async |port: &Port| {
            let mut idle = Vec::new();
            for _ in 0..number {
                if let Ok(mut peer) = port.tls().await {
                    port::say(&mut peer, &frames::hello()).await;
                    idle.push(port::Held::of(peer));
                }
            }
            port::until_at_most(CONNECTIONS + LEAVING, &idle, "connections that idle").await;
        })
        .await;
        show(&figures);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_streams_shed_their_own() {
    for attackers in Attackers::ALL {
        let figures = under("10,000 streams", attackers, async |port: &Port| {
            let outcome = good::watch_health(port, 100, 100).await;
            println!("  streams: {outcome:?}");
            match attackers {
                Attackers::LetIn => assert!(outcome.open <= 1_024 + 100 && outcome.shed > 0, "{outcome:?}"),
                Attackers::Strangers => assert_eq!(outcome.open, 0, "{outcome:?}"),
            }
            tokio::time::sleep(port.flood_for()).await;
            drop(outcome);
        })
        .await;
        show(&figures);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_without_end_or_without_measure_end_their_connection() {
    let continuations = Frames::repeated(
        "continuation without end",
        block_of(1, 64),
        frame(kind::CONTINUATION, 0, 1, b"\x00"),
    );
    let empty =
        Frames::repeated("empty continuations", block_of(1, 64), frame(kind::CONTINUATION, 0, 1, b""));
    let large = Frames::numbered("header lists of 60 KB", |number| headers(number, 60_000));
    let churn = Frames::numbered("headers to be remembered", frames::remembered_headers);
    for &attackers in Attackers::below_the_calls() {
        let figures = under("header floods", attackers, async |port: &Port| {
            for frames in [&continuations, &empty, &large, &churn] {
                Flood { connections: 20, frames }.ends_them_all(port).await;
            }
        })
        .await;
        show(&figures);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tiny_frames_end_their_connection() {
    for &attackers in Attackers::below_the_calls() {
        let figures = under("tiny frames", attackers, async |port: &Port| {
            for frames in tiny_frames() {
                Flood { connections: 10, frames: &frames }.ends_them_all(port).await;
            }
        })
        .await;
        show(&figures);
    }
}

/// Everything that is cheap to send and costs the server work.
fn tiny_frames() -> Vec<Frames> {
    vec![
        Frames::repeated("settings", Vec::new(), frame(kind::SETTINGS, 0, 0, b"")),
        Frames::repeated("pings", Vec::new(), frame(kind::PING, 0, 0, b"01234567")),
        Frames::repeated("priorities", Vec::new(), frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 9])),
        Frames::repeated("window updates", Vec::new(), frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        Frames::repeated("unknown frames", Vec::new(), frame(200, 0, 0, b"")),
        Frames::repeated("empty data", headers(1, 0), data(1, b"")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_reset_ends_its_connection() {
    let resets = Frames::numbered("rapid reset", |number| {
        [headers(number, 0), frame(kind::RST_STREAM, 0, frames::stream(number), &[0, 0, 0, 8])].concat()
    });
    for attackers in Attackers::ALL {
        let figures = under("rapid reset", attackers, async |port: &Port| {
            Flood { connections: 20, frames: &resets }.ends_them_all(port).await;
        })
        .await;
        show(&figures);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_too_large_or_never_end_stay_within_their_share() {
    for attackers in Attackers::ALL {
        let figures = under("oversize messages", attackers, async |port: &Port| {
            let outcome = good::send_without_end(port, scaled(40), 20).await;
            println!("  requests of 3.9 MiB without an end: {outcome:?}");
            match attackers {
                Attackers::LetIn => {
                    assert!(outcome.shed > 0, "{outcome:?}");
                    good::send_too_much(port).await;
                }
                Attackers::Strangers => assert_eq!(outcome.open, 0, "{outcome:?}"),
            }
        })
        .await;
        show(&figures);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_stay_within_their_share() {
    let connections = if FULL { 20 } else { 6 };
    let figures = under("answers that nobody reads", Attackers::LetIn, async |port: &Port| {
        good::lay_tasks(port, 1_000).await;
        let outcome = good::read_nothing(port, connections, 1, 100).await;
        println!("  lists of 1,000 tasks, unread: {outcome:?}");
        assert!(outcome.shed > 0, "{outcome:?}");
    })
    .await;
    show(&figures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_lists_at_once_take_turns_and_keep_nobody_waiting() {
    let connections = if FULL { 20 } else { 6 };
    let figures = under("lists all at once", Attackers::LetIn, async |port: &Port| {
        good::lay_tasks(port, 1_000).await;
        let outcome = good::read_nothing(port, connections, 100, 1).await;
        println!("  lists of 1,000 tasks, all at once: {outcome:?}");
        assert!(outcome.open <= 2 * LOOKS_OF_EACH && outcome.shed > 0, "{outcome:?}");
    })
    .await;
    show(&figures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_nobody_reads_hold_nobody_up() {
    let connections = if FULL { 10 } else { 4 };
    let figures = under("streams that nobody reads", Attackers::LetIn, async |port: &Port| {
        let outcome = good::listen_to_nothing(port, connections, 100).await;
        println!("  streams of events, operations and runs, unread: {outcome:?}");
        assert!(outcome.open >= connections * 50, "{outcome:?}");
    })
    .await;
    show(&figures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_dribble_keep_nobody_out() {
    for attackers in Attackers::ALL {
        let figures = under("requests that dribble", attackers, async |port: &Port| {
            let outcome = good::dribble(port, 12, 100).await;
            println!("  requests of a byte a second: {outcome:?}");
            match attackers {
                Attackers::LetIn => assert!(outcome.open <= 1_024 + 12, "{outcome:?}"),
                Attackers::Strangers => assert_eq!(outcome.open, 0, "{outcome:?}"),
            }
        })
        .await;
        show(&figures);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_malformed_ends_its_own_connection() {
    for &attackers in Attackers::below_the_calls() {
        let figures = under("malformed bytes", attackers, async |port: &Port| {
            for (what, bytes) in malformed() {
                join_all((0..20).map(async |_| {
                    let mut peer = port.tls().await.expect("a connection");
                    port::say(&mut peer, &bytes).await;
                    port::until_closed(peer, what).await;
                }))
                .await;
            }
            good::ask_wrongly(port).await;
            for _ in 0..20 {
                let refused = port.speaking("http/1.1").await.expect_err("it speaks HTTP/2 and nothing else");
                assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");
            }
            for garbage in
                [&b"\x16\x03\x01\xff\xff"[..], b"GET / HTTP/1.1\r\n\r\n", b"\x80\x80\x80\x80\x80\x80\x80\x80"]
            {
                let mut peer = port.plain().await;
                port::say(&mut peer, &garbage.repeat(100)).await;
                port::until_closed(peer, "no TLS").await;
            }
        })
        .await;
        show(&figures);
    }
}

fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let after_hello = |bytes: Vec<u8>| [frames::hello(), bytes].concat();
    vec![
        ("no preface", b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".repeat(2)),
        (
            "a frame past the agreed size",
            after_hello([&[0x7f, 0xff, 0xff, kind::DATA, 0, 0, 0, 0, 1][..], &[0; 64]].concat()),
        ),
        ("data on no stream", after_hello(data(0, b"x"))),
        ("a ping of the wrong size", after_hello(frame(kind::PING, 0, 0, b"x"))),
        ("settings that are no settings", after_hello(frame(kind::SETTINGS, 0, 0, b"12345"))),
        (
            "a window past its end",
            after_hello(frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2)),
        ),
        ("headers that cannot be unpacked", after_hello(frame(kind::HEADERS, 5, 1, &[0xff; 32]))),
        ("a stream that goes back", after_hello([headers(9, 0), headers(3, 0)].concat())),
    ]
}

/// The same floods against a server with the library's own limits. It shows that they bite, and that what is asserted above can fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_limits_the_same_floods_are_borne_for_ever() {
    let _alone = flood::alone().await;
    let plain = control::serve_with_the_librarys_limits().await;
    let silent: Vec<_> = {
        let mut peers = Vec::new();
        for _ in 0..HANDSHAKES + CONNECTIONS + LEAVING + 1 {
            peers.push(port::Held::of(plain.connect().await));
        }
        peers
    };
    let pings = Frames::repeated("pings", Vec::new(), frame(kind::PING, 0, 0, b"01234567"));
    assert!(!pings.end(plain.connect().await).await, "it takes every ping");
    // Longer than a peer of ours may be silent.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let open = silent.iter().filter(|peer| peer.is_open()).count();
    assert_eq!(open, silent.len(), "it keeps whoever says nothing");
}
