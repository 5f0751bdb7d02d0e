//! A Modbus server inside an HTTP application: `cargo run --bin http_host`
//!
//! Both sides share the application's state behind one lock, which nobody holds while waiting. A batch of values that came by
//! HTTP is seen by Modbus as a whole or not at all. `tests/s000_15_http_host.rs` shows that under load.
//!
//! ```text
//! curl -X PUT -d '21 450' http://127.0.0.1:8080/plant      # setpoint and flow
//! dinrail read 127.0.0.1:5020 hr:0 -n 2
//! ```

use std::error::Error;
use std::sync::{Arc, RwLock};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use dinrail::service::{Failure, Read, Write, callbacks};
use dinrail::{Area, ExceptionCode, Server, Service};
use tokio::net::TcpListener;

/// What the application is about: setpoint and flow.
pub type Plant = Arc<RwLock<[u16; 2]>>;

/// The application's HTTP side.
pub fn app(plant: Plant) -> Router {
    Router::new().route("/plant", get(show).put(change)).with_state(plant)
}

async fn show(State(plant): State<Plant>) -> String {
    let [setpoint, flow] = *plant.read().expect("no holder panics");
    format!("{setpoint} {flow}")
}

async fn change(State(plant): State<Plant>, body: String) -> StatusCode {
    let values: Vec<u16> = body.split_whitespace().flat_map(str::parse).collect();
    let [setpoint, flow] = values[..] else { return StatusCode::BAD_REQUEST };
    *plant.write().expect("no holder panics") = [setpoint, flow];
    StatusCode::NO_CONTENT
}

/// The same by Modbus: holding registers 0 and 1.
pub fn registers(plant: Plant) -> impl Service {
    let writing = plant.clone();
    callbacks(
        move |read: Read| match plant.read().expect("no holder panics").get(read.range()) {
            Some(values) if read.area == Area::HoldingRegister => Ok(values.to_vec()),
            _ => Err(Failure::from(ExceptionCode::IllegalDataAddress)),
        },
        move |write: Write| match writing.write().expect("no holder panics").get_mut(write.range()) {
            Some(values) if write.area == Area::HoldingRegister => {
                values.copy_from_slice(&write.values.to_vec());
                Ok(())
            }
            _ => Err(ExceptionCode::IllegalDataAddress.into()),
        },
    )
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut places = std::env::args().skip(1);
    let http = places.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let modbus = places.next().unwrap_or_else(|| "127.0.0.1:5020".to_owned());

    let plant = Plant::default();
    let server = Server::tcp(modbus, registers(plant.clone()));
    let listener = TcpListener::bind(http).await?;
    println!("http://{}/plant and {} are the same", listener.local_addr()?, server.start().await?);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app(plant)).with_graceful_shutdown(stop).await?;
    server.stop().await;
    Ok(())
}
