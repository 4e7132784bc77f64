// What Java's clients do, for test_java.py: java -cp 'lib/*' JavaClients.java mysql|postgresql|amqp PORT PASSWORD SETTINGS
//
// Prints a line of JSON for each statement or message, as the client knows it: what it is, the error's number or null, and the rows that
// it got or null.
import com.rabbitmq.client.*;
import java.sql.*;
import java.util.concurrent.*;

public class JavaClients {
    static void say(String what, String error, Integer rows) {
        System.out.println("[\"" + what + "\", " + (error == null ? "null" : "\"" + error + "\"") + ", " + rows + "]");
    }

    static int read(ResultSet rows) throws SQLException {
        int count = 0;
        while (rows.next()) count++;
        rows.close();
        return count;
    }

    static void database(String url, boolean mysql, boolean fetches, boolean rewrites) throws Exception {
        try (java.sql.Connection c = DriverManager.getConnection(url); Statement s = c.createStatement()) {
            s.execute("DROP TABLE IF EXISTS java_items");
            say("DROP TABLE java_items", null, null);
            s.execute("CREATE TABLE java_items (id int PRIMARY KEY, name varchar(40))");
            say("CREATE TABLE java_items", null, null);
            try (PreparedStatement p = c.prepareStatement("INSERT INTO java_items VALUES (?, ?)")) {
                for (int i = 0; i < 20; i++) {
                    p.setInt(1, i);
                    p.setString(2, "hunter2-never-shown " + i);
                    p.executeUpdate();
                    say("INSERT java_items", null, null);
                }
                for (int i = 100; i < 150; i++) {
                    p.setInt(1, i);
                    p.setString(2, "hunter2-never-shown");
                    p.addBatch();
                }
                p.executeBatch();
                for (int i = 0; i < (rewrites ? 1 : 50); i++) say("INSERT java_items", null, null);
                try {
                    p.setInt(1, 5);
                    p.setString(2, "twice");
                    p.executeUpdate();
                } catch (SQLException e) {
                    say("INSERT java_items", mysql ? "" + e.getErrorCode() : e.getSQLState(), null);
                }
            }
            for (int i = 0; i < 10; i++) say("SELECT java_items", null, read(s.executeQuery("SELECT * FROM java_items WHERE id < " + i)));
            try {
                s.executeQuery("SELECT * FROM java_absent");
            } catch (SQLException e) {
                say("SELECT java_absent", mysql ? "" + e.getErrorCode() : e.getSQLState(), null);
            }
            if (fetches) {
                c.setAutoCommit(false);
                try (PreparedStatement p = c.prepareStatement("SELECT * FROM java_items WHERE id >= ?")) {
                    p.setFetchSize(10);
                    p.setInt(1, 0);
                    say("FETCHED java_items", null, read(p.executeQuery()));
                }
                c.commit();
            }
        }
    }

    static void broker(int port, String password) throws Exception {
        ConnectionFactory f = new ConnectionFactory();
        f.setHost("127.0.0.1");
        f.setPort(port);
        f.setUsername("lab");
        f.setPassword(password);
        f.setRequestedHeartbeat(0);
        try (com.rabbitmq.client.Connection c = f.newConnection()) {
            Channel sure = c.createChannel(), works = c.createChannel();
            sure.queueDeclare("java", false, false, false, null);
            sure.confirmSelect();
            for (int i = 0; i < 200; i++) {
                sure.basicPublish("", "java", MessageProperties.TEXT_PLAIN, ("hunter2-never-shown " + i).getBytes());
                if (i % 20 == 19) sure.waitForConfirmsOrDie(5000);
            }
            for (int i = 0; i < 200; i++) say("publish", null, null);
            CountDownLatch all = new CountDownLatch(200);
            works.basicQos(20);
            works.basicConsume("java", false, new DefaultConsumer(works) {
                public void handleDelivery(String tag, Envelope e, AMQP.BasicProperties p, byte[] body) throws java.io.IOException {
                    if (e.getDeliveryTag() % 9 == 0) works.basicNack(e.getDeliveryTag(), false, false);
                    else works.basicAck(e.getDeliveryTag(), false);
                    say("consume", e.getDeliveryTag() % 9 == 0 ? "nack" : null, null);
                    all.countDown();
                }
            });
            all.await(20, TimeUnit.SECONDS);
            works.close();
        }
    }

    public static void main(String[] a) throws Exception {
        String settings = a.length > 3 ? a[3] : "";
        boolean rewrites = settings.contains("rewriteBatched");
        if (a[0].equals("mysql")) {
            String url = "jdbc:mysql://127.0.0.1:" + a[1] + "/shop?user=lab&password=" + a[2] + "&sslMode=DISABLED&allowPublicKeyRetrieval=true&";
            database(url + settings, true, settings.contains("useCursorFetch"), rewrites);
        } else if (a[0].equals("postgresql")) {
            String url = "jdbc:postgresql://127.0.0.1:" + a[1] + "/postgres?user=lab&password=" + a[2] + "&sslmode=disable&gssEncMode=disable&";
            database(url + settings, false, !settings.contains("simple"), false);
        } else {
            broker(Integer.parseInt(a[1]), a[2]);
        }
    }
}
