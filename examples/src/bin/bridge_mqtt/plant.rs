//! What the bridge leads to: a broker of our own, and a device that is an MQTT client.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rumqttc::{Event, Incoming, PublishOptions, PublishProperties, QoS};
use tokio::sync::oneshot;

use crate::{Failed, session};

/// The device: it publishes its state, does what it is told, and refuses a setpoint that is out of range.
pub(crate) async fn device(broker: String, ready: oneshot::Sender<()>) -> Result<(), String> {
    let (client, mut events) = session("device", &broker).map_err(|error| error.to_string())?;
    let mut ready = Some(ready);
    loop {
        let event = match events.poll().await {
            Ok(event) => event,
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(50)).await; // the broker is still starting
                continue;
            }
        };
        let state = |name: &str, value: String| {
            let retained = PublishOptions::new(QoS::AtLeastOnce).retain(true);
            client.try_publish(format!("plant/{name}"), value, retained).map_err(|error| error.to_string())
        };
        match event {
            Event::Incoming(Incoming::ConnAck(_)) => {
                state("temperature", "21.4".into())?;
                state("setpoint", "20".into())?;
                client.try_subscribe("plant/setpoint/set", QoS::AtLeastOnce).map_err(|error| error.to_string())?;
            }
            Event::Incoming(Incoming::SubAck(_)) => drop(ready.take().map(|ready| ready.send(()))),
            Event::Incoming(Incoming::Publish(command)) => {
                let text = String::from_utf8_lossy(&command.payload).into_owned();
                let word = match text.parse::<f64>() {
                    Ok(16.0..=26.0) => {
                        state("setpoint", text)?;
                        "ok".to_owned()
                    }
                    _ => format!("the device refuses {text}"),
                };
                let asked = command.properties.unwrap_or_default();
                let Some(topic) = asked.response_topic else { continue };
                let properties =
                    PublishProperties { correlation_data: asked.correlation_data, ..PublishProperties::default() };
                let options = PublishOptions::new(QoS::AtLeastOnce).properties(properties);
                client.try_publish(topic, word, options).map_err(|error| error.to_string())?;
            }
            _ => {}
        }
    }
}

/// A broker of our own, which ends with us.
pub(crate) struct Mosquitto(Child, PathBuf);

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_file(&self.1);
    }
}

pub(crate) fn mosquitto() -> Result<(Mosquitto, String), Failed> {
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?; // free again, for the broker to take
    let path = std::env::temp_dir().join(format!("dinrail-mosquitto-{}.conf", address.port()));
    std::fs::write(
        &path,
        format!("listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n", address.port()),
    )?;
    let start =
        |program: &str| Command::new(program).arg("-c").arg(&path).stderr(Stdio::null()).stdout(Stdio::null()).spawn();
    // Debian puts it where only root looks.
    let child = start("mosquitto").or_else(|_| start("/usr/sbin/mosquitto"));
    let child = child.map_err(|error| format!("cannot start mosquitto: {error}; install it, or name a broker"))?;
    Ok((Mosquitto(child, path), address.to_string()))
}
