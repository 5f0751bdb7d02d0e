//! Modbus to MQTT, with a real broker: `cargo run --bin bridge_mqtt [HOST:PORT]`
//!
//! State is what the device has published last, retained, on `plant/NAME`. A write is a request of MQTT 5: it is published on
//! `plant/NAME/set` with a response topic, and the master is told "done" when the device has answered "ok". So the master
//! learns what no "published" can tell it: that the device refused, that it does not answer, that the broker is gone.
//!
//! Without an address it starts a mosquitto of its own and, at the end, stops it to show the last of these. The device is
//! simulated by a second MQTT client; `plant.rs` has both.

mod plant;

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dinrail::bridge::{PointMap, Upstream};
use dinrail::point::Point;
use dinrail::proto::value::{DataType, Value};
use dinrail::service::Failure;
use dinrail::{Area, Client, Server};
use rumqttc::{
    AsyncClient, Event, EventLoop, Incoming, MqttOptions, NetworkOptions, Publish, PublishOptions, PublishProperties,
    QoS,
};
use tokio::sync::{oneshot, watch};

pub(crate) type Failed = Box<dyn Error>;

/// What the bridge knows of the broker's side.
struct Mqtt {
    client: AsyncClient,
    /// The newest state by name; `None` while there is no broker.
    states: watch::Sender<Option<HashMap<String, f64>>>,
    /// Writes that wait for the device's word, by the number that comes back with it.
    writes: Mutex<(u64, HashMap<u64, oneshot::Sender<String>>)>,
}

impl Mqtt {
    fn connect(broker: &str) -> Result<Arc<Self>, Failed> {
        let (client, events) = session("dinrail-bridge", broker)?;
        let this = Arc::new(Self { client, states: watch::Sender::new(None), writes: Mutex::default() });
        tokio::spawn(this.clone().listen(events));
        Ok(this)
    }

    /// Takes what the broker sends, and connects again when it was lost.
    async fn listen(self: Arc<Self>, mut events: EventLoop) {
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                    self.states.send_replace(Some(HashMap::new()));
                    // Not awaited: this loop is what sends it.
                    // Answers first: with the first state, both are there.
                    let _ = self.client.try_subscribe("bridge/answers", QoS::AtLeastOnce);
                    let _ = self.client.try_subscribe("plant/+", QoS::AtLeastOnce);
                }
                Ok(Event::Incoming(Incoming::Publish(message))) => self.take(&message),
                Ok(_) => {}
                Err(_) => {
                    self.states.send_replace(None);
                    self.writes.lock().expect("no holder panics").1.clear(); // whoever waits is told so
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn take(&self, message: &Publish) {
        let (topic, text) = (String::from_utf8_lossy(&message.topic), String::from_utf8_lossy(&message.payload));
        if let Some(name) = topic.strip_prefix("plant/") {
            let Ok(value) = text.parse() else { return };
            self.states.send_modify(|states| {
                states.get_or_insert_default().insert(name.to_owned(), value);
            });
            return;
        }
        let mut writes = self.writes.lock().expect("no holder panics");
        if let Some(waiting) = number_of(message).and_then(|number| writes.1.remove(&number)) {
            let _ = waiting.send(text.into_owned()); // it may have given up
        }
    }

    /// A number for a write, and where the device's word about it will come.
    fn expect(&self) -> (u64, oneshot::Receiver<String>) {
        let (tell, told) = oneshot::channel();
        let mut writes = self.writes.lock().expect("no holder panics");
        writes.0 += 1;
        let number = writes.0;
        writes.1.retain(|_, waiting| !waiting.is_closed());
        writes.1.insert(number, tell);
        (number, told)
    }
}

/// What a master is told follows from the kind of these errors: 0x0A, 0x0B, or 0x04 for what the device says.
impl Upstream for Mqtt {
    async fn read(&self, point: &Point) -> Result<Value, Failure> {
        match &*self.states.borrow() {
            None => Err(io::Error::new(io::ErrorKind::NotConnected, "the broker is gone").into()),
            Some(states) => match states.get(&point.name) {
                Some(value) => Ok(Value::F64(*value)),
                None => Err(io::Error::new(io::ErrorKind::TimedOut, "it has never been published").into()),
            },
        }
    }

    async fn write(&self, point: &Point, value: Value) -> Result<(), Failure> {
        if self.states.borrow().is_none() {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the broker is gone").into());
        }
        let (number, told) = self.expect();
        let properties = PublishProperties {
            response_topic: Some("bridge/answers".into()),
            correlation_data: Some(number.to_be_bytes().to_vec().into()),
            ..PublishProperties::default()
        };
        let options = PublishOptions::new(QoS::AtLeastOnce).properties(properties);
        self.client.publish(format!("plant/{}/set", point.name), value.to_string(), options).await?;
        let word = told.await.map_err(|_| io::Error::from(io::ErrorKind::ConnectionReset))?;
        if word == "ok" { Ok(()) } else { Err(Failure::message(word)) }
    }
}

fn number_of(message: &Publish) -> Option<u64> {
    let data = message.properties.as_ref()?.correlation_data.as_deref()?;
    Some(u64::from_be_bytes(data.try_into().ok()?))
}

pub(crate) fn session(name: &str, broker: &str) -> Result<(AsyncClient, EventLoop), Failed> {
    let (host, port) = broker.rsplit_once(':').ok_or("give the broker as HOST:PORT")?;
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true); // without it a request and its answer take 40 ms
    let mut options = MqttOptions::new(name, (host, port.parse::<u16>()?));
    options.set_keep_alive(5).set_network_options(network);
    Ok(AsyncClient::builder(options).capacity(64).build())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let mut own = None;
    let broker = match std::env::args().nth(1) {
        Some(address) => address,
        None => {
            let (process, address) = plant::mosquitto()?;
            own = Some(process);
            address
        }
    };
    let (ready, is_ready) = oneshot::channel();
    let device = tokio::spawn(plant::device(broker.clone(), ready));
    is_ready.await.map_err(|_| "the device could not start")?;

    let mqtt = Mqtt::connect(&broker)?;
    let tenths =
        |name, address| Point::new(name, Area::HoldingRegister, address).with_type(DataType::I16).with_scale(0.1);
    let map = PointMap::builder()
        .attach_read_only([tenths("temperature", 0), tenths("humidity", 1)], mqtt.clone())
        .attach([tenths("setpoint", 10), tenths("valve", 11)], mqtt.clone())
        .with_deadline(Duration::from_millis(500))
        .build()?;
    let server = Server::tcp("127.0.0.1:0", map);
    let master = Client::connect(server.start().await?).await?;

    // The broker sends what is retained soon after the subscription.
    mqtt.states.subscribe().wait_for(|states| states.as_ref().is_some_and(|states| states.len() == 2)).await?;
    say("read the temperature", master.read_holding_registers(0, 1).await);
    say("read the humidity, which nobody has published", master.read_holding_registers(1, 1).await);
    say("write 22.5 to the setpoint", master.write_register(10, 225).await);
    say("read it back", master.read_holding_registers(10, 1).await);
    say("write 99.9 to it", master.write_register(10, 999).await);
    say("write the valve, for which nobody listens", master.write_register(11, 500).await);
    say("read what is not bound", master.read_holding_registers(2, 1).await);
    device.abort();
    say("write the setpoint of a device that is gone", master.write_register(10, 200).await);
    if let Some(broker) = own {
        drop(broker);
        mqtt.states.subscribe().wait_for(Option::is_none).await?;
        say("read without a broker", master.read_holding_registers(0, 1).await);
        say("write without a broker", master.write_register(10, 200).await);
    }
    server.stop().await;
    Ok(())
}

fn say<T: std::fmt::Debug>(what: &str, result: Result<T, dinrail::Error>) {
    match result {
        Ok(value) => println!("{what}: {value:?}"),
        Err(dinrail::Error::Exception(code)) => println!("{what}: exception {code}"),
        Err(error) => println!("{what}: {error}"),
    }
}
