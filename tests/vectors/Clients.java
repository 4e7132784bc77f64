// What the Java client does, for record_kafka.py: java -cp 'lib/*' Clients.java address what
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

public class Clients {
    static Properties of(String address, String... more) {
        Properties p = new Properties();
        p.put("bootstrap.servers", address);
        for (int i = 0; i < more.length; i += 2) p.put(more[i], more[i + 1]);
        return p;
    }

    public static void main(String[] a) throws Exception {
        StringSerializer out = new StringSerializer();
        StringDeserializer in = new StringDeserializer();
        if (a[1].equals("transaction")) {
            Properties p = of(a[0], "client.id", "java-tx", "transactional.id", "tx-1", "enable.metrics.push", "false");
            try (Producer<String, String> producer = new KafkaProducer<>(p, out, out)) {
                producer.initTransactions();
                producer.beginTransaction();
                producer.send(new ProducerRecord<>("orders", 0, "k", "v"));
                producer.send(new ProducerRecord<>("logs", 0, "k", "v"));
                producer.sendOffsetsToTransaction(Map.of(new TopicPartition("orders", 0), new OffsetAndMetadata(1)), new ConsumerGroupMetadata("java-tx-group"));
                producer.commitTransaction();
                producer.beginTransaction();
                producer.send(new ProducerRecord<>("orders", 1, "k", "v"));
                producer.flush();
                producer.abortTransaction();
            }
        } else if (a[1].equals("consumer")) {
            Properties p = of(a[0], "client.id", "java-new", "group.id", "java-new", "group.protocol", "consumer",
                "auto.offset.reset", "earliest", "enable.auto.commit", "false", "enable.metrics.push", "false");
            try (Consumer<String, String> consumer = new KafkaConsumer<>(p, in, in)) {
                consumer.subscribe(List.of("orders"));
                int got = 0;
                for (int i = 0; i < 30 && got == 0; i++) got += consumer.poll(Duration.ofMillis(500)).count();
                consumer.commitSync();
            }
        } else if (a[1].equals("share")) {
            Properties p = of(a[0], "client.id", "java-share", "group.id", "java-share", "enable.metrics.push", "false");
            try (KafkaShareConsumer<String, String> consumer = new KafkaShareConsumer<>(p, in, in)) {
                consumer.subscribe(List.of("orders"));
                int got = 0;
                for (int i = 0; i < 20 && got == 0; i++) {
                    got += consumer.poll(Duration.ofMillis(500)).count();
                    if (got == 0 && i == 2)
                        try (Producer<String, String> producer = new KafkaProducer<>(of(a[2], "client.id", "aside"), out, out)) {
                            producer.send(new ProducerRecord<>("orders", 0, "k", "shared")).get();
                        }
                }
                consumer.commitSync();
            }
        }
    }
}
