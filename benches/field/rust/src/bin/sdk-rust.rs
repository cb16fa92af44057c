//! azure_messaging_eventhubs: as many tasks as the window, each of which packs a batch and sends it, again and again. The
//! SDK holds its link until an outcome comes, so one batch is on its way while the others are packed or wait.

use std::sync::Arc;

use azure_messaging_eventhubs::ProducerClient;
use azure_messaging_eventhubs::models::EventData;
use hubwire::rustls::crypto;
use hubwire_field::{Span, Work, tell_first};
use tokio::task::JoinSet;

fn main() {
    // Alone, the SDK finds it by itself; in one build with hubwire there are two to choose from. Nothing here uses either.
    crypto::aws_lc_rs::default_provider().install_default().expect("the first");
    let work = Arc::new(Work::from_args());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let endpoint = format!("amqp://127.0.0.1:{}", work.port);
        let text = "Endpoint=sb://localhost;SharedAccessKeyName=any;SharedAccessKey=a2V5";
        let builder = ProducerClient::builder().with_custom_endpoint(endpoint);
        let client = builder.open_with_connection_string(text, Some("telemetry")).await.expect("a peer");
        let client = Arc::new(client);
        publish(&client, &work, 1).await;
        tell_first();
        publish(&client, &work, work.warm_up).await;
        let span = Span::begin();
        publish(&client, &work, work.batches).await;
        span.tell(&work);
    });
}

async fn publish(client: &Arc<ProducerClient>, work: &Arc<Work>, batches: usize) {
    let mut tasks = JoinSet::new();
    for task in 0..work.window {
        let (client, work) = (client.clone(), work.clone());
        tasks.spawn(async move {
            for _ in (task..batches).step_by(work.window) {
                let batch = client.create_batch(None).await.expect("a batch");
                for _ in 0..work.packer.count() {
                    let event = EventData::builder().with_body(work.packer.body().to_vec()).build();
                    assert!(batch.try_add_event_data(event, None).expect("an event"));
                }
                client.send_batch(batch, None).await.expect("accepted");
            }
        });
    }
    tasks.join_all().await;
}
