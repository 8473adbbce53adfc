//! A service on loopback over plain HTTP: the emulator, what was asked of it, and other answers in its place.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use certroll::emulator::{Answer, Emulator};
use jiff::Timestamp;

/// Status and body to answer a path with, instead of the emulator.
pub type Instead = Box<dyn Fn(&str) -> Option<(u16, &'static str)> + Send>;

#[derive(Clone)]
pub struct Bridge {
    pub url: String,
    pub emulator: Emulator,
    shared: Arc<Shared>,
}

struct Shared {
    asked: Mutex<Vec<(String, String)>>,
    instead: Mutex<Instead>,
}

impl Bridge {
    /// Serves an empty directory until the test process ends. Its clock runs from now.
    pub fn new() -> Bridge {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let emulator = Emulator::in_memory(Timestamp::now(), 1);
        emulator.unfreeze();
        let shared = Shared { asked: Mutex::default(), instead: Mutex::new(Box::new(|_| None)) };
        let url = format!("http://{}", listener.local_addr().unwrap());
        emulator.set_base_url(Some(&url));
        let bridge = Bridge { url, emulator, shared: Arc::new(shared) };
        let serving = bridge.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (bridge, stream) = (serving.clone(), stream.unwrap());
                std::thread::spawn(move || bridge.answer(stream));
            }
        });
        bridge
    }

    /// From now on, answers what it says in the emulator's stead.
    pub fn instead(&self, instead: impl Fn(&str) -> Option<(u16, &'static str)> + Send + 'static) {
        *self.shared.instead.lock().unwrap() = Box::new(instead);
    }

    /// Paths and bodies of all requests so far.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// A reader that went away ends it silently.
    fn answer(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let mut first = lines.first()?.split(' ');
        let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
        let mut request = http::Request::builder().method(method.as_str()).uri(format!("{}{path}", self.url));
        let mut length = 0;
        for (name, value) in lines[1..].iter().filter_map(|line| line.split_once(": ")) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok()?;
            }
            request = request.header(name, value);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let asked = (path.clone(), String::from_utf8_lossy(&body).into_owned());
        self.shared.asked.lock().unwrap().push(asked);
        let instead = (self.shared.instead.lock().unwrap())(&path);
        let (status, headers, body) = match instead {
            Some((status, body)) => (status, String::new(), body.as_bytes().to_vec()),
            None => match self.emulator.handle(&request.body(body).ok()?) {
                Answer::Lost => return None,
                Answer::Response(response) => {
                    let headers = response.headers().iter();
                    let headers =
                        headers.map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
                    (response.status().as_u16(), headers.collect(), response.body().clone())
                }
            },
        };
        let head = format!(
            "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = stream;
        stream.write_all(&[head.as_bytes(), &body].concat()).ok()
    }
}
